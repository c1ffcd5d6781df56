// What a person sees of the demo: 80 columns, a line of progress that rewrites itself on a terminal and comes every few seconds elsewhere.
import { systemClock } from '@docbus/runtime';
import { styleText } from 'node:util';

export type Screen = {
  line(text?: string): void;
  /** A numbered heading. */
  act(title: string): void;
  /** Text for reading, wrapped and indented. */
  say(text: string): void;
  /** Ready-made lines, indented. */
  show(block: string): void;
  /** The line of progress; the next thing written replaces it on a terminal. */
  progress(text: string): void;
  /** Takes the line of progress away. */
  clear(): void;
};

const COLUMNS = 80;
const INDENT = '   ';
/** Somewhere a file or a CI log takes the output: a line now and then is enough there. */
const PROGRESS_MS = 2_000;

export function createScreen(stream: NodeJS.WriteStream): Screen {
  let acts = 0;
  let shown = false;
  let lastProgress = systemClock.now();
  const clear = (): void => {
    if (shown) stream.write('\r\u001b[K');
    shown = false;
  };
  const line = (text = ''): void => {
    clear();
    stream.write(`${text}\n`);
  };
  return {
    line,
    clear,
    act: (title) => {
      line();
      line(styleText('bold', `${++acts}. ${title}`, { stream }));
      lastProgress = systemClock.now();
    },
    say: (text) => wrap(text, COLUMNS - INDENT.length).forEach((part) => line(`${INDENT}${part}`)),
    show: (block) => block.split('\n').forEach((part) => line(part === '' ? '' : `${INDENT}${part}`)),
    progress: (text) => {
      if (stream.isTTY) {
        stream.write(`\r\u001b[K${`${INDENT}${text}`.slice(0, Math.min(COLUMNS, stream.columns) - 1)}`);
        shown = true;
      } else if (systemClock.now() - lastProgress >= PROGRESS_MS) {
        lastProgress = systemClock.now();
        line(`${INDENT}${text}`);
      }
    },
  };
}

export function bar(done: number, total: number, width = 24): string {
  const filled = total === 0 ? width : Math.min(width, Math.floor((done / total) * width));
  return `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}]`;
}

/** Lines of at most `width` characters, broken at spaces where there are any. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let current = '';
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    if (current !== '' && current.length + 1 + word.length > width) {
      lines.push(current);
      current = word;
    } else current = current === '' ? word : `${current} ${word}`;
  }
  return current === '' ? lines : [...lines, current];
}

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
