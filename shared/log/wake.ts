// A wake is set by whoever has news and waited for by one loop. Setting it twice before the wait is over counts once,
// and news that come while the loop is busy are not missed.

export type Wake = {
  set(): void;
  /** Resolves when set since the last wait, or when the signal aborts. */
  wait(signal: AbortSignal): Promise<void>;
};

export function createWake(): Wake {
  let pending = false;
  let resume: (() => void) | undefined;
  const set = () => {
    pending = true;
    resume?.();
  };
  const wait = async (signal: AbortSignal) => {
    if (!pending && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      resume = () => resolve();
      signal.addEventListener('abort', resume, { once: true });
      await promise;
      signal.removeEventListener('abort', resume);
      resume = undefined;
    }
    pending = false;
  };
  return { set, wait };
}
