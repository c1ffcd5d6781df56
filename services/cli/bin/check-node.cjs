// Says in one line when Node is too old for docbus, where it would otherwise die of a stack trace about its first type.
// Loaded before everything else (node -r, or the first import of an entry file); plain old JavaScript that any Node can read.
'use strict';

var least = 24;

if (!(parseInt(process.versions.node, 10) >= least)) {
  console.error(
    'docbus needs Node ' +
      least +
      ' or newer, but this is Node ' +
      process.versions.node +
      ' (' +
      process.execPath +
      '). ' +
      'Run "npm ci" without --ignore-scripts and --omit=dev, which brings Node ' +
      least +
      ' with it for npm and npx; or install Node ' +
      least +
      '.',
  );
  process.exit(2);
}
