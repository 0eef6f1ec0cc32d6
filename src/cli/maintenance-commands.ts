import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { workerFile } from '../worker-file';
import { Clock } from '../core/clock';
import { SystemRandom } from '../core/random';
import { migrationStatusAt } from '../database/migration-status';
import { WAITING } from '../database/migrate';
import { prepareDatabase } from '../database/open-database';
import { backUpSqlite } from '../database/sqlite-backup';
import { LimitCountersCleanup } from '../rate-limit/limit-counters-cleanup';
import { PasswordAttemptsCleanup } from '../rate-limit/password-attempts-cleanup';
import { RevocationCleanup } from '../revocation/revocation-cleanup';
import { SessionCleanup } from '../sessions/session-cleanup';
import { type Command, CommandError } from './command';
import type { Progress } from './progress';

export const MAINTENANCE_COMMANDS: Command[] = [
  {
    name: 'migrate status',
    summary: 'prints which migrations are applied and which are pending; changes nothing',
    examples: [{ line: 'latchkey migrate status --json | jq .pending', purpose: 'before an update' }],
    async run(_, { config }) {
      const status = await migrationStatusAt(config().database);
      const lines = [
        ...status.applied.map((name) => `applied  ${name}`),
        ...status.pending.map((name) => `pending  ${name}`),
        ...status.unknown.map((name) => `unknown  ${name} (of a newer release)`),
      ];
      return { text: lines.join('\n'), data: status };
    },
  },
  {
    name: 'migrate up',
    summary:
      'applies what is pending, as every start does by itself; makes an SQLite file where there is none',
    examples: [{ line: 'latchkey migrate up', purpose: 'before the new release is started' }],
    async run(_, { config, progress }) {
      const settings = config();
      const { pending } = await migrationStatusAt(settings.database);
      // Another process may have done some of it while this one waited.
      const applied: string[] = [];
      await prepareDatabase(settings.database, {
        begins: (name) => {
          applied.push(name);
          progress.tell(`${name} is being applied, ${pending.indexOf(name) + 1} of ${pending.length}`);
        },
        waits: () => progress.tell(WAITING),
      });
      const text = applied.length === 0 ? 'Nothing was pending.' : `Applied: ${applied.join(', ')}.`;
      return { text, data: { applied } };
    },
  },
  {
    name: 'cleanup',
    summary: 'removes dead rows now; the server does so by itself, a little at a time',
    examples: [{ line: 'latchkey cleanup', purpose: 'before a backup, or after a long stop' }],
    async run(_, { services, progress }) {
      const context = await services();
      if (!context.get(Clock).isTrusted) {
        throw new CommandError(
          "This machine's clock and the database's are too far apart to tell what is dead; nothing was removed. Set the one that is wrong.",
        );
      }
      let removed = 0;
      const told = (more: number) => progress.show(`${(removed += more)} rows removed`);
      const sessions = await context.get(SessionCleanup).sweepAll(told);
      const revocations = await context.get(RevocationCleanup).sweepAll(told);
      const passwordAttempts = await context.get(PasswordAttemptsCleanup).sweepAll(told);
      const limitCounters = await context.get(LimitCountersCleanup).sweepAll(told);
      return {
        text: `Removed ${sessions} sessions, ${revocations} lines of the revocation feed, ${passwordAttempts} counts of password attempts and ${limitCounters} of other limits.`,
        data: { sessions, revocations, passwordAttempts, limitCounters },
      };
    },
  },
  {
    name: 'backup',
    parameters: { shown: 'FILE', least: 1, most: 1, missing: 'Name the file to be made.' },
    summary: 'copies the SQLite database into a new file as of one moment, also while the server runs',
    examples: [{ line: 'latchkey backup /backups/monday.sqlite', purpose: 'every night, under a new name' }],
    async run({ words: [target = ''] }, { config, progress }) {
      const { database, secretFile, authSecret } = config();
      if (database.engine === 'mysql') {
        throw new CommandError(
          'This copies SQLite files. Back up MySQL with mariadb-dump or mysqldump; see docs/backup.md.',
        );
      }
      const bytes = await copy(database.file, target, progress);
      const secret = authSecret === undefined ? secretFile : undefined;
      const reminder =
        secret === undefined ? '' : ` Keep ${secret} too, elsewhere: without it nobody stays signed in.`;
      return { text: `Copied into ${target}, ${bytes} bytes.${reminder}`, data: { file: target, bytes } };
    },
  },
];

async function copy(file: string, target: string, progress: Progress): Promise<number> {
  try {
    return await backUpSqlite(file, target, {
      workerFile: workerFile('database', 'statement-worker.js'),
      random: new SystemRandom(),
      told: (done, total) =>
        progress.show(done < total ? `${done} of some ${total} bytes copied` : 'the copy is being checked'),
    });
  } catch (error) {
    if (!existsSync(dirname(target))) {
      throw new CommandError(
        `There is no folder ${dirname(target)}: make it first, readable by nobody else.`,
      );
    }
    throw new CommandError(`No backup was made in ${dirname(target)}: ${(error as Error).message}.`);
  }
}
