// Files attached to a chat: parsed into direct-uploads/, known by a row of their own, and nothing of the knowledge base until somebody embeds
// one. Then the file is copied into the library and taken away here.
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { DocPath } from '@docbus/core';
import { randomUuid } from '@docbus/runtime/clock.ts';
import { logEvent, requireWorkspace, write, type App, type WorkspaceRow } from './app.ts';
import { uploadData } from './collector.ts';
import type { Steps } from './effects.ts';
import { addDocuments } from './memberships.ts';
import { slug as slugOf } from './names.ts';
import { documentsDir } from './storage.ts';

export type Attachment = { readonly name: string; readonly text: string };

const directUploads = (storageDir: string): string => join(storageDir, 'direct-uploads');

/** Returns the id of its row. */
export async function* attach(app: App, slug: string, { name, text }: Attachment): Steps<number> {
  const { database, clock, storageDir } = app;
  const workspace = requireWorkspace(app, slug);
  const id = randomUuid(clock);
  const { pageContent, ...metadata } = uploadData(app, id, { name, text });
  const file = `${slugOf(name)}-${id}.json`;
  mkdirSync(directUploads(storageDir), { recursive: true });
  writeFileSync(join(directUploads(storageDir), file), JSON.stringify({ ...metadata, pageContent }, null, 4));
  yield { done: 'attachment written', to: file };
  const location = `direct-uploads/${file}`;
  yield* write(app, 'attachment row added', file, () =>
    database.insert('workspace_parsed_files', {
      filename: `${name}-${id}.json`,
      workspaceId: workspace.id,
      metadata: JSON.stringify({ ...metadata, location, isDirectUpload: true }),
      tokenCountEstimate: Number(metadata['token_count_estimate']),
      createdAt: clock.now(),
    }),
  );
  yield* logEvent(app, 'document_uploaded_to_chat', { documentName: name, workspace: slug, thread: null });
  return database.get<{ id: number }>('SELECT max(id) AS id FROM workspace_parsed_files')?.id ?? 0;
}

/** The row goes in any case. Rejects (500) when the attachment could not be embedded. */
export async function* embedAttachment(app: App, slug: string, id: number): Steps<DocPath> {
  let docpath: DocPath | undefined;
  let failure: unknown;
  try {
    docpath = yield* moveAndEmbed(app, requireWorkspace(app, slug), id);
  } catch (error) {
    failure = error;
  }
  yield* write(
    app,
    'attachment row removed',
    String(id),
    () => void app.database.run('DELETE FROM workspace_parsed_files WHERE id = ?', id),
  );
  if (docpath === undefined) throw failure;
  yield* logEvent(app, 'document_embedded', { documentName: 'unknown', workspaceId: requireWorkspace(app, slug).id });
  return docpath;
}

/** Copied into custom-documents, removed from direct-uploads, embedded. */
async function* moveAndEmbed(app: App, workspace: WorkspaceRow, id: number): Steps<DocPath> {
  const { database, storageDir } = app;
  const read = (): { metadata: string } | undefined =>
    database.get('SELECT metadata FROM workspace_parsed_files WHERE id = ? AND workspaceId = ?', id, workspace.id);
  const row = database.attempt(`read attachment ${id}`, read, undefined);
  if (row === undefined) throw new Error(`500: no attachment ${id} in ${workspace.slug}`);
  const { location } = JSON.parse(row.metadata) as { location: string };
  const file = basename(location);
  const source = join(directUploads(storageDir), file);
  if (!existsSync(source)) throw new Error(`500: ${source} is missing`);
  const docpath = `custom-documents/${file}` as DocPath;
  mkdirSync(join(documentsDir(storageDir), 'custom-documents'), { recursive: true });
  copyFileSync(source, join(documentsDir(storageDir), docpath));
  yield { done: 'document written', to: docpath };
  rmSync(source);
  yield { done: 'attachment removed', to: file };
  const { failed, errors } = yield* addDocuments(app, workspace, [docpath]);
  if (failed.length > 0) throw new Error(`500: ${errors[0] ?? 'the attachment could not be embedded'}`);
  return docpath;
}
