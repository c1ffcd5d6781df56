import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { bar, createScreen, wrap } from './screen.ts';

function screenOn(terminal: { isTTY?: boolean; columns?: number }) {
  let written = '';
  const write = (chunk: Buffer, _encoding: string, done: () => void): void => {
    written += chunk.toString();
    done();
  };
  const stream = Object.assign(new Writable({ write }), terminal) as NodeJS.WriteStream;
  return { screen: createScreen(stream), written: () => written };
}

test('no line of text is longer than 80 columns', () => {
  const { screen, written } = screenOn({});
  screen.say('words and '.repeat(60));
  assert.ok(
    written()
      .split('\n')
      .every((line) => line.length <= 80),
  );
});

test('without a terminal there are no cursor tricks, and progress does not flood', () => {
  const { screen, written } = screenOn({ isTTY: false });
  screen.act('Act');
  for (let i = 0; i < 100; i++) screen.progress('progress');
  screen.line('end');
  assert.equal(written(), '\n1. Act\nend\n');
});

test('on a terminal progress is one line that fits, and goes when something else is written', () => {
  const { screen, written } = screenOn({ isTTY: true, columns: 40 });
  screen.progress('x'.repeat(100));
  screen.line('end');
  assert.equal(written(), `\r\u001b[K   ${'x'.repeat(36)}\r\u001b[Kend\n`);
});

test('a bar is as full as the work is done', () => {
  assert.equal(bar(1, 2, 4), '[##..]');
  assert.equal(bar(0, 0, 4), '[####]');
  assert.equal(bar(5, 2, 4), '[####]');
});

test('a word longer than the line stays whole', () => assert.deepEqual(wrap('a verylongword b', 5), ['a', 'verylongword', 'b']));
