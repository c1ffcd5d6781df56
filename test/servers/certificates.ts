// Certificates for tests of TLS, made with openssl in a directory of the test: an authority, a server on localhost, a client.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findCommand } from './find.ts';
import { runProcess } from './process.ts';

/** Paths of PEM files. */
export type Certificates = {
  readonly ca: string;
  readonly server: { readonly certificate: string; readonly key: string; readonly both: string };
  readonly client: { readonly certificate: string; readonly key: string };
};

export async function makeCertificates(directory: string, signal?: AbortSignal): Promise<Certificates> {
  const command = findCommand('openssl');
  if (command === undefined)
    throw new Error('There is no `openssl` on PATH, and tests of TLS need certificates. Install it (Debian: apt install openssl).');
  const file = (name: string): string => join(directory, name);
  const openssl = async (...args: string[]): Promise<void> =>
    await runProcess({ name: `openssl ${args[0]}`, command, args, directory, output: file('openssl.log') }, signal);
  const ca = file('ca.pem');
  await openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=docbus test',
    '-keyout',
    file('ca.key'),
    '-out',
    ca,
  );
  const issue = async (name: string): Promise<{ certificate: string; key: string }> => {
    const [key, request, certificate] = [file(`${name}.key`), file(`${name}.csr`), file(`${name}.pem`)];
    writeFileSync(file(`${name}.ext`), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
    await openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${name}`, '-keyout', key, '-out', request);
    await openssl(
      'x509',
      '-req',
      '-in',
      request,
      '-CA',
      ca,
      '-CAkey',
      file('ca.key'),
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      file(`${name}.ext`),
      '-out',
      certificate,
    );
    return { certificate, key };
  };
  const [server, client] = [await issue('server'), await issue('client')];
  const both = file('server-both.pem');
  writeFileSync(both, readFileSync(server.key, 'utf8') + readFileSync(server.certificate, 'utf8'));
  return { ca, server: { ...server, both }, client };
}
