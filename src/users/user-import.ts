import { Injectable } from '@nestjs/common';
import { validateSync } from 'class-validator';
import { type EntityManager, In } from 'typeorm';
import { ALL_SCOPES, parseScopes } from '../access/scopes';
import { AuditTrail } from '../audit/audit-trail';
import { deletionsAmong, importedAmong } from '../audit/event-history';
import { canonical } from '../core/canonical';
import { Clock } from '../core/clock';
import { Failpoints } from '../core/failpoints';
import { Ids } from '../core/ids';
import type { Origin } from '../core/origin';
import { PasswordHasher } from '../crypto/password-hasher';
import { isUniqueViolation } from '../database/failures';
import { paced } from '../database/paced';
import { Transactions } from '../database/transactions';
import { IMPORTED_FIELDS, ImportedUser } from './imported-user';
import { User } from './user.entity';

/** Accounts made in one transaction: on SQLite all other writers wait for it, some milliseconds. */
export const IMPORT_BATCH_SIZE = 100;

/** How often a batch is tried in which somebody else was faster with a name. */
const MOST_ATTEMPTS = 10;

/** A line of what is to be imported: what stands there, or why that cannot be read. */
export type ImportLine = { line: number; record: unknown } | { line: number; unreadable: string };

/** Why a line is not imported. Repeats nothing of a hash. */
export interface Refusal {
  /** Empty where no single one is at fault. */
  field: string;
  reason: string;
}

/** What became of a line; `present` was imported by an earlier run, or from an earlier line that says the same. */
export type LineOutcome =
  { line: number; kind: 'imported' | 'present' } | ({ line: number; kind: 'refused' } & Refusal);

interface Candidate {
  line: number;
  imported: ImportedUser;
  usernameCanonical: string;
  emailCanonical: string;
}

/** Makes accounts for the users of another system, however many. */
@Injectable()
export class UserImport {
  constructor(
    private readonly transactions: Transactions,
    private readonly hasher: PasswordHasher,
    private readonly audit: AuditTrail,
    private readonly clock: Clock,
    private readonly ids: Ids,
    private readonly failpoints: Failpoints,
  ) {}

  /**
   * Imports line by line, in transactions of a hundred accounts, and tells of each line what became of it. A password works
   * as it did there, and is hashed anew at the first sign-in; nothing is asked of it, since it is not known.
   *
   * A line whose account an earlier run has made is passed over, so a run that was cut short at whatever moment is simply
   * repeated. Nobody who is there is changed: a line that somebody else stands in the way of is refused, and so is one that says
   * otherwise than an earlier line of the same user: which of the two is right, nobody here can know.
   *
   * @throws ApiError `service_unavailable`; what was told of stays imported
   */
  async *importAll(lines: AsyncIterable<ImportLine>, origin: Origin): AsyncGenerator<LineOutcome> {
    let batch = new Batch();
    for await (const line of lines) {
      const read = this.read(line);
      if ('kind' in read) {
        yield read;
        continue;
      }
      // Of two lines with one name the second is judged by what became of the first.
      if (batch.size === IMPORT_BATCH_SIZE || batch.meets(read)) {
        yield* await this.take(batch.candidates, origin);
        batch = new Batch();
      }
      batch.add(read);
    }
    if (batch.size > 0) yield* await this.take(batch.candidates, origin);
  }

  private read(line: ImportLine): Candidate | LineOutcome {
    if ('unreadable' in line) return refused(line.line, { field: '', reason: line.unreadable });
    const fault = faultOf(line.record);
    if (fault) return refused(line.line, fault);
    const imported = Object.assign(new ImportedUser(), line.record);
    const [error] = validateSync(imported, { stopAtFirstError: true });
    if (error) {
      const [reason = ''] = Object.values(error.constraints ?? {});
      return refused(line.line, { field: error.property, reason });
    }
    const refusal = this.hasher.refusalOf(imported.passwordHash);
    if (refusal) {
      return refused(line.line, { field: 'passwordHash', reason: `passwordHash is ${refusal}` });
    }
    const [usernameCanonical, emailCanonical] = [canonical(imported.username), canonical(imported.email)];
    return { line: line.line, imported, usernameCanonical, emailCanonical };
  }

  private async take(candidates: Candidate[], origin: Origin): Promise<LineOutcome[]> {
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt += 1) {
      const outcomes = await this.judge(candidates, origin);
      const fresh = candidates.filter(({ line }) => !outcomes.has(line));
      if (await this.insert(fresh, origin)) {
        return candidates.map(({ line }) => outcomes.get(line) ?? { line, kind: 'imported' });
      }
      // Somebody has signed up with such a name meanwhile, and will be found.
    }
    throw new Error(
      `Lines ${candidates[0]?.line} and the following cannot be written, and nobody is in their way`,
    );
  }

  /** What is known of the lines before anything is written; those that nobody stands in the way of are left out. */
  private async judge(candidates: Candidate[], origin: Origin): Promise<Map<number, LineOutcome>> {
    return this.transactions.read(async (tx) => {
      const users = await findInTheWay(tx, candidates);
      const met = candidates.flatMap((candidate) => {
        const inTheWay = users.filter((user) => isInTheWay(candidate, user));
        return inTheWay.length === 0 ? [] : [{ candidate, inTheWay }];
      });
      const runs = await importedAmong(
        tx,
        met.flatMap(({ candidate, inTheWay: [user] }) =>
          user && differenceOf(candidate, user) !== undefined ? [user.id] : [],
        ),
      );
      const outcomes = met.map(({ candidate, inTheWay }) =>
        outcomeOf(candidate, inTheWay, runs, origin.requestId),
      );
      const others = candidates.filter((candidate) => met.every((one) => one.candidate !== candidate));
      return new Map(
        [...outcomes, ...(await refuseDeleted(tx, others))].map((outcome) => [outcome.line, outcome]),
      );
    });
  }

  /** @returns false where somebody was faster with one of the names, and nothing was written */
  private async insert(candidates: Candidate[], origin: Origin): Promise<boolean> {
    if (candidates.length === 0) return true;
    const users = candidates.map((candidate) => this.toUser(candidate));
    const events = users.map(({ id }) => ({
      ...{ type: 'account_created' as const, userId: id, reason: 'imported' as const },
    }));
    try {
      await paced(this.clock, () =>
        this.transactions.run(async (tx) => {
          await tx.insert(User, users);
          await this.failpoints.reach('import:accounts_written');
          await this.audit.recordAll(tx, events, origin);
        }),
      );
    } catch (error) {
      if (isUniqueViolation(error)) return false;
      throw error;
    }
    return true;
  }

  private toUser({ imported, usernameCanonical, emailCanonical }: Candidate): User {
    const now = this.clock.now();
    const { username, email, passwordHash, createdAt } = imported;
    const { disabled, scopes } = rightsOf(imported);
    return {
      id: imported.id ?? this.ids.next('user'),
      ...{ username, usernameCanonical, email, emailCanonical, passwordHash },
      credentialVersion: 1,
      scopes: scopes.join(' '),
      disabledAt: disabled ? now : null,
      createdAt: createdAt === undefined ? now : new Date(createdAt),
    };
  }
}

/** Lines that are to be imported together, and by what they would stand in each other's way. */
class Batch {
  readonly candidates: Candidate[] = [];
  private readonly taken = new Set<string>();

  get size(): number {
    return this.candidates.length;
  }

  meets(candidate: Candidate): boolean {
    return marksOf(candidate).some((mark) => this.taken.has(mark));
  }

  add(candidate: Candidate): void {
    for (const mark of marksOf(candidate)) this.taken.add(mark);
    this.candidates.push(candidate);
  }
}

function marksOf({ usernameCanonical, emailCanonical, imported: { id } }: Candidate): string[] {
  return [`username ${usernameCanonical}`, `email ${emailCanonical}`, ...(id === undefined ? [] : [id])];
}

/** What is wrong with a record before its fields are looked at. */
function faultOf(record: unknown): Refusal | undefined {
  if (typeof record !== 'object' || record === null || Array.isArray(record)) {
    return { field: '', reason: 'the line must be a JSON object' };
  }
  const known: readonly string[] = IMPORTED_FIELDS;
  const unknown = Object.keys(record).find((name) => !known.includes(name));
  if (unknown === undefined) return undefined;
  return { field: unknown, reason: `there is no such field; there are ${known.join(', ')}` };
}

const idsOf = (candidates: Candidate[]): string[] =>
  candidates.flatMap(({ imported: { id } }) => (id === undefined ? [] : [id]));

function findInTheWay(tx: EntityManager, candidates: Candidate[]): Promise<User[]> {
  const ids = idsOf(candidates);
  return tx.find(User, {
    where: [
      { usernameCanonical: In(candidates.map(({ usernameCanonical }) => usernameCanonical)) },
      { emailCanonical: In(candidates.map(({ emailCanonical }) => emailCanonical)) },
      ...(ids.length === 0 ? [] : [{ id: In(ids) }]),
    ],
  });
}

/**
 * The details of a deleted account's sealed events are gone, which the trail allows only as long as the account is: made anew under
 * its id, it would pass for one whose events somebody has emptied.
 */
async function refuseDeleted(tx: EntityManager, candidates: Candidate[]): Promise<LineOutcome[]> {
  const deleted = await deletionsAmong(tx, idsOf(candidates));
  return candidates.flatMap(({ line, imported: { id } }) =>
    id !== undefined && deleted.has(id)
      ? [refused(line, { field: 'id', reason: 'belonged to an account that was deleted; leave id out' })]
      : [],
  );
}

function isInTheWay({ usernameCanonical, emailCanonical, imported: { id } }: Candidate, user: User): boolean {
  return (
    user.usernameCanonical === usernameCanonical || user.emailCanonical === emailCanonical || user.id === id
  );
}

/** What an account may do, also where the line does not say. */
function rightsOf({ disabled = false, scopes = [ALL_SCOPES] }: ImportedUser) {
  return { disabled, scopes };
}

/** The first field in which an account is not as the line says, of those that decide who may do what. */
function differenceOf({ imported }: Candidate, user: User): keyof ImportedUser | undefined {
  const { disabled, scopes } = rightsOf(imported);
  if (user.passwordHash !== imported.passwordHash) return 'passwordHash';
  if ((user.disabledAt !== null) !== disabled) return 'disabled';
  const had = new Set(parseScopes(user.scopes));
  return had.size === scopes.length && scopes.every((scope) => had.has(scope)) ? undefined : 'scopes';
}

/**
 * Somebody who is called the same and has the same hash was imported before. So was, if the audit trail says so, whoever has
 * another hash by now: he has signed in, or changed the password. Anybody else may have signed up in a stranger's name.
 *
 * @param runs of those who are not as the line says, the run that has imported each
 */
function outcomeOf(
  candidate: Candidate,
  inTheWay: User[],
  runs: Map<string, string>,
  thisRun: string,
): LineOutcome {
  const { line, imported, usernameCanonical, emailCanonical } = candidate;
  const [user, ...others] = inTheWay as [User, ...User[]];
  const { username, email, id = user.id, passwordHash } = imported;
  const alike = others.length === 0 && user.username === username && user.email === email && user.id === id;
  const run = runs.get(user.id);
  const field = differenceOf(candidate, user);
  // Of an earlier run it may have changed since.
  if (alike && field !== undefined && run === thisRun) {
    return refused(line, { field, reason: `${user.id} stands in the file twice, and not alike` });
  }
  if (alike && (user.passwordHash === passwordHash || run !== undefined)) return { line, kind: 'present' };
  const taken = (field: string, owner: User) => refused(line, { field, reason: `taken by ${owner.id}` });
  const byName = inTheWay.find((other) => other.usernameCanonical === usernameCanonical);
  if (byName) return taken('username', byName);
  const byEmail = inTheWay.find((other) => other.emailCanonical === emailCanonical);
  return byEmail ? taken('email', byEmail) : taken('id', user);
}

function refused(line: number, refusal: Refusal): LineOutcome {
  return { line, kind: 'refused', ...refusal };
}
