// attempt runs one step and turns its failure into what its code says: wait and try again, start over, or end. The next look is
// the retry; pauses grow with each failure in a row and the logger gets louder.
import { isDocbusError, reasonOf } from '@docbus/core';
import { nextPauseMs, type Clock, type Logger } from '@docbus/runtime';
import type { Agent } from './agent.ts';
import type { StepResult } from './publish.ts';

export type Trouble = {
  readonly code: string;
  readonly message: string;
  readonly since: number;
  readonly attempts: number;
  readonly retryAt: number;
};

export type Attempt = {
  /** Runs the step unless it is in its pause. */
  run(signal: AbortSignal): Promise<StepResult>;
  /** Why the step does not get on; undefined while it does. */
  trouble(): Trouble | undefined;
};

/** A step that lost a race against AnythingLLM looks again soon; that is no trouble yet. */
const RACE_PAUSE_MS = 50;
const RACES_UNTIL_TROUBLE = 40;

export function createAttempt(
  name: string,
  step: Agent['publishOnce'],
  { agent, clock, logger }: { agent: Agent; clock: Clock; logger: Logger },
): Attempt {
  let trouble: Trouble | undefined;
  let races = 0;
  return {
    trouble: () => trouble,
    async run(signal) {
      if (trouble !== undefined && clock.now() < trouble.retryAt) return { more: false, wakeAt: trouble.retryAt };
      try {
        const result = await step(signal);
        if (trouble !== undefined) logger.info({ step: name, code: trouble.code }, 'recovered');
        trouble = undefined;
        races = 0;
        return result;
      } catch (error) {
        if (signal.aborted) throw error;
        if (!isDocbusError(error)) throw error;
        if (error.code === 'aborted' && ++races < RACES_UNTIL_TROUBLE) {
          logger.debug({ step: name, reason: error.message }, 'looking again');
          return { more: false, wakeAt: clock.now() + RACE_PAUSE_MS };
        }
        switch (error.remedy) {
          case 'exit':
            throw error;
          case 'bootstrap':
            logger.warn(
              { step: name, code: error.code, reason: error.message },
              'the checkpoint is of no use: the log is read again from its first record, and what it lacks is appended again',
            );
            agent.startOver(error.code === 'log_recreated' || error.code === 'log_tail_lost' ? error.code : 'position_expired');
            return { more: true, wakeAt: undefined };
          case 'retry':
          case 'wait':
          case 'quarantine': {
            const attempts = (trouble?.attempts ?? 0) + 1;
            const retryAt = clock.now() + nextPauseMs(attempts, clock);
            trouble = { code: error.code, message: reasonOf(error), since: trouble?.since ?? clock.now(), attempts, retryAt };
            const fields = { step: name, code: error.code, attempts, pauseMs: retryAt - clock.now(), reason: trouble.message };
            if (attempts === 1) logger.warn(fields, 'the step failed and will be tried again');
            else logger.error(fields, 'the step keeps failing');
            return { more: false, wakeAt: retryAt };
          }
        }
      }
    },
  };
}
