import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createUuidV5, URL_NAMESPACE } from './uuid.ts';

test('a name has the id that the standard gives it', () => {
  const uuid = createUuidV5(URL_NAMESPACE);
  // RFC 9562, appendix A.4 has this one for the DNS namespace; the second was seen in AnythingLLM's vector-cache.
  assert.equal(createUuidV5('6ba7b810-9dad-11d1-80b4-00c04fd430c8')('www.example.com'), '2ed6657d-e927-568b-95e1-2665a8aea6a2');
  assert.equal(uuid('custom-documents/hello.txt-11111111-1111-4111-8111-111111111111.json'), 'f676fede-bbf2-5ba9-b8e8-3f542b31b958');
});

test('names may have any length and any characters, one after the other', () => {
  const uuid = createUuidV5(URL_NAMESPACE);
  const first = uuid('é'.repeat(5000));
  assert.notEqual(uuid('é'), first);
  assert.equal(uuid('é'.repeat(5000)), first);
  assert.equal(uuid(''), '1b4db7eb-4057-5ddf-91e0-36dec72071f5');
  assert.match(first, /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
