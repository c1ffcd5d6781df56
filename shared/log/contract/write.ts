// npm run contract: writes the contract as it is in the code now.
import { writeFileSync } from 'node:fs';
import { contractDocument } from './document.ts';

writeFileSync(new URL('asyncapi.json', import.meta.url), JSON.stringify(contractDocument(), null, 2));
