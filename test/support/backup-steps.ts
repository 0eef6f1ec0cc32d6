import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { onMysql, type TestDatabase } from './database';
import { Program, runCommand } from './server-process';

const page = readFileSync(join(__dirname, '..', '..', 'docs', 'backup.md'), 'utf8');

const PASSWORD = 'kettle-lagoon-74';

/** What the page gives the dump, and whoever it is run by. */
const DUMPING = '--single-transaction --skip-lock-tables --no-tablespaces';

/**
 * Bytes of a table that makes a copy long enough to be held in its middle: on MySQL more than there is room for on the way
 * to who reads the dump, on SQLite more than is copied before anybody can look.
 */
const BALLAST_BYTES = onMysql ? 8_000_000 : 96_000_000;

/** No user of the machine. */
const SOMEBODY = 54_321;

/** How often a copy of an SQLite file that was through before it could be held is begun anew. */
const MOST_TRIES = 20;

/**
 * Settings by which the service has all rights on that one database and none elsewhere, as docs/operations.md asks for. On the
 * server there is a user then that is called like the database.
 */
export async function asItsOwner(
  database: TestDatabase,
  settings: Record<string, string>,
): Promise<Record<string, string>> {
  if (!onMysql) return settings;
  const url = new URL(database.url);
  const name = url.pathname.slice(1);
  await database.rows(`CREATE USER ${name}@'%' IDENTIFIED BY '${PASSWORD}'`);
  await database.rows(`GRANT ALL ON ${name}.* TO ${name}@'%'`);
  [url.username, url.password] = [name, PASSWORD];
  return { ...settings, DATABASE_URL: url.href };
}

/** Takes away what that has made. */
export async function forgetOwner(database: TestDatabase): Promise<void> {
  if (onMysql) await database.rows(`DROP USER ${new URL(database.url).pathname.slice(1)}@'%'`);
}

/** The steps of docs/backup.md that go by the engine, done on a test's database as whoever `settings` have the service be there. */
export class BackupSteps {
  constructor(
    private readonly database: TestDatabase,
    private readonly settings: Record<string, string>,
    private readonly folder: string,
  ) {}

  /** Once there is ballast, the copy stands still in its middle until `work` is done. */
  async backUp(work?: () => Promise<void>): Promise<void> {
    await (onMysql ? this.dump(work) : this.copy(work));
  }

  /** Puts the backup in the place of the database. */
  async restore(): Promise<void> {
    if (onMysql) this.readDump();
    else this.replaceFile();
    await this.database.rows('DROP TABLE IF EXISTS ballast');
  }

  async takeOnBallast(): Promise<void> {
    const row = onMysql ? "REPEAT('x', 10000)" : 'zeroblob(10000)';
    const type = onMysql ? 'MEDIUMTEXT' : 'BLOB';
    await this.database.rows(`CREATE TABLE ballast (filling ${type})`);
    await this.database.rows(`INSERT INTO ballast
      WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 1000) SELECT ${row} FROM counted`);
    for (let bytes = 10_000_000; bytes < BALLAST_BYTES; bytes += 10_000_000)
      await this.database.rows('INSERT INTO ballast SELECT filling FROM ballast LIMIT 1000');
  }

  /** A dump waits for whoever reads it, once the way there is full. */
  private async dump(work?: () => Promise<void>): Promise<void> {
    expect(page).toContain(`mariadb-dump ${DUMPING} -h `);
    const { options, env } = this.connection;
    const dump = spawn('mariadb-dump', [...DUMPING.split(' '), ...options, this.nameOfDatabase], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const complaints = text(dump.stderr);
    const ended = once(dump, 'close');
    const file = openSync(join(this.folder, 'monday.sql.partial'), 'w');
    let held = false;
    let bytesBehind = 0;
    for await (const chunk of dump.stdout as AsyncIterable<Buffer>) {
      writeSync(file, chunk);
      if (held) bytesBehind += chunk.length;
      // Its transaction has begun by then.
      if (held || !chunk.includes('CREATE TABLE')) continue;
      held = true;
      await work?.();
    }
    closeSync(file);
    expect([await ended, await complaints]).toEqual([[0, null], '']);
    if (work) expect(bytesBehind).toBeGreaterThan(BALLAST_BYTES / 2);
    this.run(/tail -n 1 \/backups\/monday\.sql\.partial.*/);
  }

  /** Ends the command by a signal in the middle of its copy. @returns the exit code */
  async cutShort(signal: NodeJS.Signals): Promise<number | null> {
    const command = await this.holdCopy(join(this.folder, 'monday.sqlite'));
    command.signal(signal);
    command.signal('SIGCONT');
    return command.exit();
  }

  private async copy(work?: () => Promise<void>): Promise<void> {
    expect(page).toContain('npm run latchkey -- backup /backups/monday.sqlite\n');
    const target = join(this.folder, 'monday.sqlite');
    if (!work) {
      const { code, stderr } = await runCommand('latchkey', ['backup', target], this.settings);
      return expect([code, stderr]).toEqual([0, '']);
    }
    const command = await this.holdCopy(target);
    await work();
    const soFar = sizeOfDraft(target);
    command.signal('SIGCONT');
    expect(await command.exit()).toBe(0);
    expect(soFar).toBeGreaterThan(0);
    expect(soFar).toBeLessThan(BALLAST_BYTES);
  }

  /** @returns the command, standing still while it copies */
  private async holdCopy(target: string): Promise<Program> {
    for (let tries = 0; tries < MOST_TRIES; tries += 1) {
      const command = new Program(
        [join('scripts', 'start.mjs'), 'latchkey', 'backup', target],
        this.settings,
      );
      const done = command.exit();
      while (sizeOfDraft(target) === 0 && !existsSync(target)) {
        const code = await Promise.race([delay(1), done]);
        if (typeof code === 'number') expect(code).toBe(0);
      }
      await command.pause();
      if (sizeOfDraft(target) < BALLAST_BYTES && !existsSync(target)) return command;
      command.signal('SIGCONT');
      expect(await done).toBe(0);
      rmSync(target);
    }
    throw new Error(
      `A copy of ${BALLAST_BYTES} bytes was through ${MOST_TRIES} times before it could be held`,
    );
  }

  private readDump(): void {
    this.run(/(?<=## Restore\n[\s\S]*)tail -n 1 \/backups\/monday\.sql .*&&\n[\s\S]*?(?= *```)/);
    const kept = readdirSync(this.folder).filter((name) => /^before-restore-\d+\.sql$/.test(name));
    expect(kept).toHaveLength(1);
    expect(readFileSync(join(this.folder, kept[0] ?? ''), 'utf8')).toMatch(/\n-- Dump completed.*\n$/);
  }

  /** Runs what the page has first that looks so, on the test's database and in its folder. */
  private run(shown: RegExp): void {
    const { options, env } = this.connection;
    const [steps] = shown.exec(page) ?? [''];
    expect(steps).toContain('-- Dump completed');
    const script = steps
      .replaceAll('/backups/', `${this.folder}/`)
      .replaceAll('-h db.internal -u latchkey -p', options.join(' '))
      .replaceAll(/(?<=[ ])latchkey(?=[;' ]|$)/gm, this.nameOfDatabase);
    execFileSync('sh', ['-c', script], { env, stdio: 'pipe' });
  }

  /**
   * In a folder that belongs to somebody else where that can be arranged, as the service's does to whoever restores as root. The file
   * has to be his too, or his service could not open it.
   */
  private replaceFile(): void {
    const [steps] = /(?<=## Restore\n[\s\S]*)install -m 600 \/backups\/[\s\S]*?(?= *```)/.exec(page) ?? [''];
    expect(steps).toContain('mv data/auth.sqlite* "$old/" &&\n');
    const file = this.settings['DATABASE_URL']?.slice('sqlite:'.length) ?? '';
    if (process.getuid?.() === 0) chownSync(dirname(file), SOMEBODY, SOMEBODY);
    const data = join(this.folder, 'data');
    if (!existsSync(data)) symlinkSync(dirname(file), data);
    const script = steps.replace('/backups/', `${this.folder}/`);
    execFileSync('sh', ['-c', script], { cwd: this.folder, stdio: 'pipe' });
    const [restored, folder] = [statSync(file), statSync(dirname(file))];
    expect([restored.uid, restored.gid, restored.mode & 0o777]).toEqual([folder.uid, folder.gid, 0o600]);
  }

  private get nameOfDatabase(): string {
    return new URL(this.settings['DATABASE_URL'] ?? '').pathname.slice(1);
  }

  /** How a tool of the database is told where that is. */
  private get connection(): { options: string[]; env: NodeJS.ProcessEnv } {
    const { hostname, port, username, password } = new URL(this.settings['DATABASE_URL'] ?? '');
    return {
      options: ['-h', hostname, '-P', port, '-u', decodeURIComponent(username)],
      env: { ...process.env, MYSQL_PWD: decodeURIComponent(password) },
    };
  }
}

/** Of the only copy to that name that is under way; 0 where none is. */
function sizeOfDraft(target: string): number {
  const draft = readdirSync(dirname(target)).find(
    (name) => name.startsWith(`${basename(target)}.`) && name.endsWith('.partial'),
  );
  if (draft === undefined) return 0;
  return statSync(join(dirname(target), draft), { throwIfNoEntry: false })?.size ?? 0;
}
