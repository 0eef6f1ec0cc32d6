import { formatInstant } from '../core/instant';
import type { Origin } from '../core/origin';
import { type Ended, OperatorSessions, type SessionOfUser } from '../sessions/operator-sessions';
import { type Command, CommandError, type Given, type Report, type Table, UsageError } from './command';
import { sentenceOf } from './failure';
import { atTheConsole, findUser, OWNER_OPTION, ownerAndSince, sinceOption } from './operator';
import { lookedAt, type Progress } from './progress';

/** Accounts that are named where their sessions could not be ended; with `--json` all are. */
const MOST_NAMED = 20;

interface ListedSession {
  id: string;
  userId: string;
  username: string;
  createdAt: string;
  lastUsed: string;
  expiresAt: string;
  ip: string;
  userAgent: string | null;
}

const TABLE: Table = {
  columns: [
    { heading: 'ID', width: 31 },
    { heading: 'USERNAME', width: 20 },
    { heading: 'SIGNED IN', width: 20 },
    { heading: 'LAST USED', width: 20 },
    { heading: 'ADDRESS', width: 15 },
    { heading: 'CLIENT', width: 0 },
  ],
  cells: ({ id, username, createdAt, lastUsed, ip, userAgent }: ListedSession) => [
    ...[id, username, createdAt, lastUsed, ip, userAgent ?? ''],
  ],
};

export const SESSION_COMMANDS: Command[] = [
  {
    name: 'session list',
    summary: 'prints the sessions that stand, in the order of the sign-ins',
    options: { ...OWNER_OPTION, ...sinceOption('opened') },
    examples: [
      { line: 'latchkey session list --user sam.hill', purpose: 'where somebody is signed in' },
      { line: 'latchkey session list --json | jq -r .ip | sort | uniq -c', purpose: 'from where all are' },
    ],
    async run(given, { services, progress }) {
      const filter = await ownerAndSince(given, services);
      return {
        rows: listed((await services()).get(OperatorSessions).list(filter, lookedAt(progress))),
        table: TABLE,
      };
    },
  },
  {
    name: 'session revoke',
    parameters: { shown: '[SESSION]', least: 0, most: 1, missing: 'Name one session.' },
    summary: 'ends one session, all of a user, or all that there are; within a second on every instance',
    options: {
      ...OWNER_OPTION,
      all: { summary: 'everybody’s, some accounts at a time; repeat it if it was cut short' },
    },
    examples: [
      { line: 'latchkey session revoke sess_01k9v3cgkze8ya3n7r5t9w1xhd', purpose: 'one' },
      { line: 'latchkey session revoke --user sam.hill', purpose: 'a lost laptop' },
      { line: 'latchkey session revoke --all', purpose: 'after a backup was restored' },
    ],
    async run(given, surroundings) {
      const target = targetOf(given);
      const context = await surroundings.services();
      const sessions = context.get(OperatorSessions);
      const origin = atTheConsole(context);
      if (target.kind === 'one') return describeOne(target.id, await sessions.end(target.id, origin));
      if (target.kind === 'user') {
        const user = await findUser(context, target.name);
        const ended = await sessions.endAllOf(user.id, origin);
        return {
          text: `Ended ${counted(ended.sessions, 'session')} of ${user.username}.`,
          data: { ...ended },
        };
      }
      return endEverybodys(sessions, origin, surroundings.progress);
    },
  },
];

type Target = { kind: 'one'; id: string } | { kind: 'user'; name: string } | { kind: 'all' };

function targetOf({ words: [id], options: { user }, flags }: Given): Target {
  const targets: Target[] = [
    ...(id === undefined ? [] : [{ kind: 'one' as const, id }]),
    ...(user === undefined ? [] : [{ kind: 'user' as const, name: user }]),
    ...(flags.has('all') ? [{ kind: 'all' as const }] : []),
  ];
  const [target] = targets;
  if (!target || targets.length > 1) throw new UsageError('Name one of: a session, --user NAME, --all.');
  return target;
}

/** What was ended of everybody's, as far as it came. */
interface EndedOfAll extends Ended {
  /** Whose sessions could not be ended. */
  failed: string[];
  /** Why it was given up before everybody was reached. */
  error?: string;
}

async function endEverybodys(
  sessions: OperatorSessions,
  origin: Origin,
  progress: Progress,
): Promise<Report> {
  const data: EndedOfAll = { accounts: 0, sessions: 0, failed: [] };
  let reason = '';
  try {
    for await (const ended of sessions.endAll(origin)) {
      data.accounts += ended.accounts;
      data.sessions += ended.sessions;
      if (ended.failed) {
        data.failed.push(ended.failed.userId);
        reason = sentenceOf(ended.failed.error);
      }
      progress.show(`${data.sessions} sessions ended`);
    }
  } catch (error) {
    // Where nothing was done there are no totals to be lost.
    if (data.accounts === 0 && data.failed.length === 0) throw error;
    data.error = sentenceOf(error);
  }
  return { text: describeAll(data, reason), data, bad: data.failed.length > 0 || data.error !== undefined };
}

function describeAll({ accounts, sessions, failed, error }: EndedOfAll, reason: string): string {
  const sentences = [`Ended ${counted(sessions, 'session')} of ${counted(accounts, 'user')}.`];
  if (failed.length > 0) {
    const more = failed.length > MOST_NAMED ? ` and ${failed.length - MOST_NAMED} more` : '';
    sentences.push(
      `Those of ${failed.slice(0, MOST_NAMED).join(', ')}${more} could not be ended; repeat it.`,
    );
  }
  if (error !== undefined) {
    sentences.push(
      'It was given up before everybody was reached: see to the database and repeat it, and it goes on with those that are left.',
    );
  }
  return [...sentences, error ?? reason].join(' ').trimEnd();
}

function describeOne(sessionId: string, ended: boolean | undefined): Report {
  if (ended === undefined) throw new CommandError(`There is no session '${sessionId}'.`);
  const text = ended ? `Ended ${sessionId}.` : `${sessionId} had ended already.`;
  return { text, data: { sessionId, ended } };
}

async function* listed(sessions: AsyncIterable<SessionOfUser>): AsyncGenerator<ListedSession> {
  for await (const { id, userId, username, ip, userAgent, ...session } of sessions) {
    yield {
      ...{ id, userId, username },
      createdAt: formatInstant(session.createdAt),
      lastUsed: formatInstant(session.lastUsedAt),
      expiresAt: formatInstant(session.idleEndsAt),
      ...{ ip, userAgent },
    };
  }
}

const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;
