// The name of a workspace's Chroma collection, as AnythingLLM 1.16's Chroma provider makes it of the slug when it adds and searches.
// Its rules are kept with their corners: a name may come out invalid for Chroma, and two slugs may come out as one name.
import type { Slug } from '@docbus/core';

const LENGTH_MIN = 3;
const LENGTH_MAX = 63;
const PREFIX = 'anythingllm-';

export function collectionName(slug: Slug): string {
  return normalize(slug);
}

function normalize(text: string): string {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_-]{1,61}[a-zA-Z0-9]$/.test(text)) return text;
  // Per UTF-16 code unit: a character above U+FFFF becomes two dashes.
  let name = text.replaceAll(/[^a-zA-Z0-9_-]/g, '-');
  if (/^[_-]/.test(name)) name = PREFIX + name.slice(1);
  // One only: "x---" ends as "x--", which Chroma refuses.
  if (/[_-]$/.test(name)) name = name.slice(0, -1);
  if (name.length < LENGTH_MIN) return PREFIX + name;
  return name.length > LENGTH_MAX ? normalize(name.slice(0, LENGTH_MAX)) : name;
}
