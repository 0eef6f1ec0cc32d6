import { parseScopes } from '../access/scopes';
import type { User } from '../users/user.entity';
import { UserDirectory, type UserFilter } from '../users/user-directory';
import { toProfile } from '../users/users.dto';
import { type Command, type Given, type Table, UsageError } from './command';
import { instantOf, sinceOption } from './operator';
import { lookedAt } from './progress';

const FILTERS = {
  disabled: { summary: 'only disabled accounts' },
  enabled: { summary: 'only accounts that are not disabled' },
  ...sinceOption('made'),
};

/** As exported, and as an import reads it; the hash only where it is asked for. */
interface ListedUser {
  id: string;
  username: string;
  email: string;
  createdAt: string;
  disabled: boolean;
  scopes: string[];
  passwordHash?: string;
}

const TABLE: Table = {
  columns: [
    { heading: 'ID', width: 31 },
    { heading: 'MADE', width: 20 },
    { heading: 'STATE', width: 8 },
    { heading: 'USERNAME', width: 24 },
    { heading: 'EMAIL', width: 0 },
  ],
  cells: ({ id, createdAt, disabled, username, email }: ListedUser) => [
    ...[id, createdAt, disabled ? 'disabled' : 'enabled', username, email],
  ],
};

export const USER_LISTING_COMMANDS: Command[] = [
  {
    name: 'user list',
    summary: 'prints the accounts, in the order of their ids',
    options: FILTERS,
    examples: [
      { line: 'latchkey user list --disabled', purpose: 'who cannot sign in' },
      { line: 'latchkey user list --since 2026-11-01 --json | jq -r .email', purpose: 'the new ones' },
    ],
    async run(given, { services, progress }) {
      const filter = filterOf(given);
      return {
        rows: listed((await services()).get(UserDirectory).list(filter, lookedAt(progress))),
        table: TABLE,
      };
    },
  },
  {
    name: 'user export',
    summary:
      'prints the accounts as JSON, one a line; with their password hashes it is what `user import` reads',
    options: {
      ...FILTERS,
      'with-password-hashes': { summary: 'for a move; whoever gets them can try passwords at leisure' },
    },
    examples: [
      { line: 'latchkey user export > users.jsonl', purpose: 'without anything that opens an account' },
      {
        line: '(umask 077; latchkey user export --with-password-hashes > users.jsonl)',
        purpose: 'to move to another Latchkey',
      },
    ],
    async run(given, { services, progress }) {
      const filter = filterOf(given);
      const users = (await services()).get(UserDirectory).list(filter, lookedAt(progress));
      return { rows: listed(users, given.flags.has('with-password-hashes')) };
    },
  },
];

function filterOf({ flags, options }: Given): UserFilter {
  if (flags.has('disabled') && flags.has('enabled'))
    throw new UsageError('Nobody is --disabled and --enabled.');
  const since = instantOf('since', options['since']);
  return {
    ...(flags.has('disabled') && { disabled: true }),
    ...(flags.has('enabled') && { disabled: false }),
    ...(since && { since }),
  };
}

async function* listed(users: AsyncIterable<User>, withHashes = false): AsyncGenerator<ListedUser> {
  for await (const user of users) {
    yield {
      ...toProfile(user),
      ...{ disabled: user.disabledAt !== null, scopes: parseScopes(user.scopes) },
      ...(withHashes && { passwordHash: user.passwordHash }),
    };
  }
}
