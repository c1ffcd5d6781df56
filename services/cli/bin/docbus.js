#!/usr/bin/env node
// The command. The check is evaluated first, in a language that an old Node understands; only then comes TypeScript.
import './check-node.cjs';

import('../entry.ts').catch(function (error) {
  console.error(error);
  process.exit(1);
});
