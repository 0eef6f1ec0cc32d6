import 'reflect-metadata';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createApp } from '../app';
import { loadConfig } from '../config/load-config';
import { projectRoot } from '../config/project-root';
import { readVersion } from '../config/version';
import { createLog } from '../core/log';
import { buildDocument } from '../openapi/build-document';

/** Writes `openapi.json`, or the file named on the command line, from the code. */
async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-openapi-'));
  try {
    const config = loadConfig({ DATABASE_URL: `sqlite:${join(folder, 'empty.sqlite')}`, API_DOCS: 'off' });
    const app = await createApp(config, createLog('silent'));
    const document = buildDocument(app, readVersion());
    await app.close();
    const target = process.argv[2] ?? join(projectRoot(), 'openapi.json');
    writeFileSync(target, `${JSON.stringify(document, null, 2)}\n`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${String((error as Error).stack)}\n`);
  process.exit(1);
});
