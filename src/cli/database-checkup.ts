import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { EventSeal } from '../audit/event-seal';
import { isSealedBy, readTrailState } from '../audit/trail-state';
import type { Config } from '../config/config';
import type { Clock } from '../core/clock';
import { KeyRing } from '../crypto/key-ring';
import { POOL_SIZE } from '../database/data-source-options';
import { readMigrationStatus } from '../database/migration-status';
import { isMissingTable, openReadOnly, type ReadOnlyView } from '../database/read-only-view';
import { MYSQL_READ_ONLY } from '../database/sql';
import { tableNames } from '../entities';
import { MOST_CORRECTED_MS } from '../revocation/clock-keeper';
import { fail, type Finding, ok, warn } from './findings';
import { secretOf } from './settings-checkup';

/** Oldest releases that are promised to work. */
const LEAST_VERSION = { MySQL: [8, 4], MariaDB: [10, 11] } as const;

/** Seconds. Beyond the one somebody should look after the clock; beyond the other no instance on this machine is ready. */
const NOTICEABLE_OFFSET = 2;
const DANGEROUS_OFFSET = MOST_CORRECTED_MS / 1000;

/** Bytes. */
const MIB = 1024 * 1024;
const LITTLE_SPACE = 1024 * MIB;
const TOO_LITTLE_SPACE = 64 * MIB;

/** Seconds an event may wait for its seal while a server runs, with much to spare. */
const LONG_WAIT = 60;

/** What a look at the database tells. Changes nothing, and makes none. */
export async function examineDatabase(config: Config, clock: Clock): Promise<Finding[]> {
  const { database } = config;
  const space = database.engine === 'sqlite' ? [await examineSpace(database.file)] : [];
  let view: ReadOnlyView | undefined;
  try {
    view = await openReadOnly(database);
  } catch (error) {
    return [fail('database', (error as Error).message, 'DATABASE_URL'), ...space];
  }
  if (!view) return [examineMissing((database as { file: string }).file), ...space];
  try {
    const engine =
      database.engine === 'sqlite'
        ? [await examineSqlite(view, database.file)]
        : await examineServer(view, clock);
    const trail = await examineTrail(view, clock);
    const seal = trail ? await examineSeal(view, config) : [];
    const migrations = await examineMigrations(view, database.engine);
    return [...engine, ...space, migrations, trail ?? ok('audit', 'There is no trail yet.'), ...seal];
  } catch (error) {
    return [fail('database', `It cannot be read: ${(error as Error).message}.`, 'DATABASE_URL'), ...space];
  } finally {
    await view.close();
  }
}

function examineMissing(file: string): Finding {
  const folder = nearestFolder(file);
  if (isWritable(folder)) return ok('database', `${file} is made at the first start.`);
  return fail('database', `${file} is not there, and ${folder} cannot be written to.`, 'DATABASE_URL');
}

async function examineSqlite(view: ReadOnlyView, file: string): Promise<Finding> {
  const [row] = await view.rows<{ version: string }>('SELECT sqlite_version() AS version');
  const size = `${(statSync(file).size / MIB).toFixed(1)} MiB`;
  // A file that others may read lies safe in a folder that they may not enter.
  if ((statSync(file).mode & 0o044) !== 0 && (statSync(dirname(file)).mode & 0o011) !== 0) {
    const message = `${file} can be read by others on this machine; chmod 600 it.`;
    return warn('database', message, 'DATABASE_URL');
  }
  const trouble = troubleWriting(file);
  if (trouble !== undefined) return warn('database', trouble, 'DATABASE_URL');
  return ok('database', `SQLite ${row?.version}, ${file}, ${size}.`);
}

/**
 * Why the service may not be able to write to the file. Root can write to everything, so what he asks for proves nothing. A file of
 * another owner than its folder has most likely been put there by root, and the service runs as somebody else.
 */
function troubleWriting(file: string): string | undefined {
  const folder = dirname(file);
  const [owner, ownerOfFolder] = [statSync(file).uid, statSync(folder).uid];
  if (owner !== ownerOfFolder) {
    return `${file} belongs to user ${owner}, and its folder to user ${ownerOfFolder}: the service must be able to write to both; chown --reference=${folder} ${file}`;
  }
  const closed = [file, folder].find((path) => !isWritable(path));
  if (closed === undefined) return undefined;
  const asking = process.getuid?.();
  return asking === owner
    ? `${closed} cannot be written to, not even by its owner; chmod u+w ${closed}`
    : `${closed} cannot be written to by user ${asking}, who is asking: the service must run as user ${owner}.`;
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

async function examineServer(view: ReadOnlyView, clock: Clock): Promise<Finding[]> {
  const [row] = await view.rows<{ version: string }>('SELECT VERSION() AS version');
  const version = row?.version ?? '';
  const rest = [...(await examineReadOnly(view)), await examineClock(view, clock)];
  // What stands first is the MySQL whose dialect it speaks, and connections are counted in another way there.
  const tidb = version.split('TiDB-')[1];
  if (tidb !== undefined) return [ok('database', `TiDB ${tidb}, on which nobody has tried this.`), ...rest];
  return [judgeVersion(version), await examineConnections(view), ...rest];
}

/** Nothing where it can be written to. */
async function examineReadOnly(view: ReadOnlyView): Promise<Finding[]> {
  const [row] = await view.rows<{ readOnly: number }>(`SELECT ${MYSQL_READ_ONLY} AS readOnly`);
  if (Number(row?.readOnly) !== 1) return [];
  const message =
    'The server can only be read (read_only), so the service is not ready. Name the one that takes writes, or, if this one is to, SET GLOBAL read_only = 0 there.';
  return [fail('database', message, 'DATABASE_URL')];
}

function judgeVersion(version: string): Finding {
  const server = version.includes('MariaDB') ? 'MariaDB' : 'MySQL';
  const [major = 0, minor = 0] = version.split('.').map(Number.parseFloat);
  const [leastMajor, leastMinor] = LEAST_VERSION[server];
  if (major < leastMajor || (major === leastMajor && minor < leastMinor)) {
    const message = `${server} ${version} is older than ${leastMajor}.${leastMinor}, the oldest release that is supported.`;
    return warn('database', message, 'DATABASE_URL');
  }
  return ok('database', `${server} ${version}.`);
}

/**
 * Two instances must find room beside everybody else who uses the server, since one more comes up at an update, and at the
 * moment there must be room for one. A user without the right `PROCESS` is shown connections of its own alone.
 */
async function examineConnections(view: ReadOnlyView): Promise<Finding> {
  const [limits] = await view.rows<{ most: number; mostOfUser: number }>(
    'SELECT @@GLOBAL.max_connections AS most, @@SESSION.max_user_connections AS mostOfUser',
  );
  const [status] = await view.rows<{ Value: string }>("SHOW GLOBAL STATUS LIKE 'Threads_connected'");
  const [processes] = await view.rows<{ own: number }>(
    "SELECT COUNT(*) AS own FROM information_schema.processlist WHERE user = SUBSTRING_INDEX(USER(), '@', 1)",
  );
  const most = Number(limits?.most);
  // Zero is no bound. This look at the server is one of them, and soon gone.
  const mostOfUser = Number(limits?.mostOfUser) || Infinity;
  const own = Number(processes?.own) - 1;
  const others = Number(status?.Value) - 1 - own;
  const left = Math.min(most - others, mostOfUser);
  const remedy = `Raise ${mostOfUser < most - others ? 'max_user_connections of this user' : 'max_connections'}.`;
  const known = `Of ${most} connections that the server takes, ${left} are for this user`;
  if (left < 2 * POOL_SIZE) {
    const message = `${known}; an instance takes up to ${POOL_SIZE}, and at an update there is one more. ${remedy}`;
    return warn('connections', message);
  }
  if (left - own < POOL_SIZE) {
    const message = `${known} and ${own} in use; one more instance takes up to ${POOL_SIZE}. ${remedy}`;
    return warn('connections', message);
  }
  return ok('connections', `${known} and ${own} in use; an instance takes up to ${POOL_SIZE}.`);
}

/** The server's answer is as old as half of the way there and back, at most. */
async function examineClock(view: ReadOnlyView, clock: Clock): Promise<Finding> {
  const before = clock.now().getTime();
  const [row] = await view.rows<{ seconds: string }>('SELECT UNIX_TIMESTAMP(NOW(3)) AS seconds');
  const middle = (before + clock.now().getTime()) / 2;
  const offset = (middle - Number(row?.seconds) * 1000) / 1000;
  const message = `This machine's clock is ${offset.toFixed(1)} s from the database's.`;
  if (Math.abs(offset) > DANGEROUS_OFFSET) return fail('clock', `${message} Have both synchronised.`);
  if (Math.abs(offset) > NOTICEABLE_OFFSET) return warn('clock', `${message} Have both synchronised.`);
  return ok('clock', message);
}

async function examineSpace(file: string): Promise<Finding> {
  const folder = nearestFolder(file);
  try {
    const { bavail, bsize } = await statfs(folder);
    // A backup or a migration may take as much again.
    const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    return judgeSpace(folder, bavail * bsize, size);
  } catch (error) {
    const message = `What is free in ${folder} cannot be found out: ${(error as Error).message}.`;
    return warn('disk', message, 'DATABASE_URL');
  }
}

function judgeSpace(folder: string, free: number, size: number): Finding {
  const message = `${(free / MIB / 1024).toFixed(1)} GiB are free in ${folder}.`;
  if (free < TOO_LITTLE_SPACE) return fail('disk', `${message} Writes will fail; make room.`, 'DATABASE_URL');
  if (free < Math.max(LITTLE_SPACE, 2 * size)) return warn('disk', `${message} Make room.`, 'DATABASE_URL');
  return ok('disk', message);
}

async function examineMigrations(view: ReadOnlyView, engine: 'sqlite' | 'mysql'): Promise<Finding> {
  const { applied, pending, unknown } = await readMigrationStatus(view);
  if (unknown.length > 0) {
    return warn(
      'migrations',
      `A newer release has been here: ${unknown.join(', ')}. This one goes on working.`,
    );
  }
  if (pending.length > 0) {
    const message = `${pending.length} pending: the next start applies them, or 'migrate up': ${pending.join(', ')}.`;
    return warn('migrations', message);
  }
  const missing = await findMissingTables(view, engine);
  if (missing.length > 0) {
    const message = `All ${applied.length} are applied, but there is no table ${missing.join(', ')}, as after a dump that broke off: restore one that is whole.`;
    return fail('migrations', message);
  }
  return ok('migrations', `All ${applied.length} are applied.`);
}

async function findMissingTables(view: ReadOnlyView, engine: 'sqlite' | 'mysql'): Promise<string[]> {
  const missing: string[] = [];
  for (const table of tableNames(engine)) {
    try {
      await view.rows(`SELECT 1 FROM ${table} LIMIT 1`);
    } catch (error) {
      if (!isMissingTable(error)) throw error;
      missing.push(table);
    }
  }
  return missing;
}

/** Undefined where there is none. */
async function examineTrail(view: ReadOnlyView, clock: Clock): Promise<Finding | undefined> {
  const state = await readTrailState(view);
  if (!state) return undefined;
  const { head, sealedAt, waitingSince } = state;
  const ageOf = (instant: Date) =>
    Math.max(0, Math.round((clock.now().getTime() - instant.getTime()) / 1000));
  const sealed = sealedAt
    ? `The head is number ${head.sequence}, ${ageOf(sealedAt)} s old`
    : 'Nothing is sealed yet';
  if (waitingSince && ageOf(waitingSince) > LONG_WAIT) {
    const message = `${sealed}; an event has waited ${ageOf(waitingSince)} s to be sealed. A running server does that within seconds: is one running?`;
    return warn('audit', message);
  }
  return ok('audit', `${sealed}.`);
}

/**
 * Holds the secret against the trail, before a service writes events under a wrong one that nobody could verify together with those
 * before: it was restored without its database or the reverse, or was lost and is about to be made anew.
 */
async function examineSeal(view: ReadOnlyView, config: Config): Promise<Finding[]> {
  const known = secretOf(config);
  // That is among the findings already.
  if ('unreadable' in known) return [];
  // Where there is none yet, the next start makes one that fits as little.
  const secrets = { master: known.secret ?? '', previous: config.previousAuthSecrets };
  const sealed = await isSealedBy(new EventSeal(new KeyRing(secrets)), view);
  if (sealed === undefined) return [];
  if (sealed)
    return [ok('secret', 'The last event of the audit trail was sealed with it, or with one before it.')];
  const message =
    'The last event of the audit trail was sealed with another secret, or altered since. Put that secret back before you start anything, or name it in AUTH_SECRET_PREVIOUS.';
  return [fail('secret', message, 'AUTH_SECRET')];
}

/** The folder in which the file is or would be made. */
function nearestFolder(file: string): string {
  let folder = dirname(file);
  while (!existsSync(folder)) folder = dirname(folder);
  return folder;
}
