import { type KeyOfUser, OperatorKeys } from '../api-keys/operator-keys';
import { formatInstant } from '../core/instant';
import { type Command, CommandError, type Table } from './command';
import { atTheConsole, OWNER_OPTION, ownerAndSince, sinceOption } from './operator';
import { lookedAt } from './progress';

interface ListedKey {
  id: string;
  userId: string;
  username: string;
  name: string;
  scopes: string[];
  state: string;
  createdAt: string;
  lastUsed: string | null;
  expiresAt: string | null;
}

const TABLE: Table = {
  columns: [
    { heading: 'ID', width: 30 },
    { heading: 'USERNAME', width: 20 },
    { heading: 'STATE', width: 14 },
    { heading: 'MADE', width: 20 },
    { heading: 'LAST USED', width: 20 },
    { heading: 'NAME', width: 20 },
    { heading: 'SCOPES', width: 0 },
  ],
  cells: ({ id, username, state, createdAt, lastUsed, name, scopes }: ListedKey) => [
    ...[id, username, state, createdAt, lastUsed ?? 'never', name, scopes.join(' ')],
  ],
};

export const KEY_COMMANDS: Command[] = [
  {
    name: 'key list',
    summary: 'prints the API keys, never their secrets, in the order in which they were made',
    options: {
      ...OWNER_OPTION,
      disabled: { summary: 'only those that do not work, for whatever reason' },
      ...sinceOption('made'),
    },
    examples: [
      { line: 'latchkey key list --user sam.hill', purpose: 'those of one account' },
      { line: `latchkey key list --json | jq -r 'select(.lastUsed == null).id'`, purpose: 'never used' },
    ],
    async run(given, { services, progress }) {
      const owned = await ownerAndSince(given, services);
      const filter = { ...owned, ...(given.flags.has('disabled') && { disabled: true }) };
      const keys = (await services()).get(OperatorKeys).list(filter, lookedAt(progress));
      return { rows: listed(keys), table: TABLE };
    },
  },
  {
    name: 'key disable',
    parameters: { shown: 'KEY', least: 1, most: 1, missing: 'Name one key by its id.' },
    summary:
      'keeps an API key from working, within a second on every instance; its owner can enable it again',
    examples: [
      {
        line: 'latchkey key disable key_01kapv8s6pefr8y0h5b2e9mwkd',
        purpose: 'the id, never the key itself',
      },
    ],
    async run({ words: [keyId = ''] }, { services }) {
      if (/^sk_/.test(keyId)) {
        throw new CommandError(
          'That is the key itself, which can now be read in the process list and the shell’s history: have it rotated. Name its id, key_…',
        );
      }
      const context = await services();
      const changed = await context.get(OperatorKeys).disable(keyId, atTheConsole(context));
      if (changed === undefined) throw new CommandError(`There is no key '${keyId}'.`);
      const text = changed ? `Disabled ${keyId}.` : `${keyId} was disabled already.`;
      return { text, data: { keyId, disabled: true, changed } };
    },
  },
];

async function* listed(keys: AsyncIterable<KeyOfUser>): AsyncGenerator<ListedKey> {
  for await (const { id, userId, username, name, scopes, state, ...key } of keys) {
    yield {
      ...{ id, userId, username, name, scopes, state },
      createdAt: formatInstant(key.createdAt),
      lastUsed: key.lastUsedAt && formatInstant(key.lastUsedAt),
      expiresAt: key.expiresAt && formatInstant(key.expiresAt),
    };
  }
}
