// Texts for the tests' documents: different from each other, long enough for several chunks where asked, the same in every run.
const subjects = [
  'The ferry',
  'The beekeeper',
  'Our printer',
  'The orchard',
  'A lighthouse',
  'The archive',
  'Her workshop',
  'The harbour master',
];
const deeds = ['keeps a record of', 'is closed because of', 'was rebuilt after', 'depends upon', 'has been praised for', 'never forgets'];
const things = [
  'the winter storms',
  'its timetable',
  'seven copper valves',
  'the release notes',
  'a map of the island',
  'honey from the lime trees',
];

/** `sentences` sentences about `topic`; another topic or length is another text. */
export function textAbout(topic: string, sentences = 12): string {
  const pick = (list: readonly string[], step: number): string => list[step % list.length] ?? '';
  return Array.from(
    { length: sentences },
    (_, i) =>
      `${pick(subjects, i + topic.length)} ${pick(deeds, i * 3 + topic.length)} ${pick(things, i * 5)}, says page ${i + 1} about ${topic}.`,
  ).join(' ');
}
