import { plainToInstance } from 'class-transformer';
import { validate } from 'class-validator';
import { ALL_SCOPES, MOST_SCOPES, parseScopes, SCOPE_SHAPE } from '../access/scopes';
import { ApiKeysService } from '../api-keys/api-keys.service';
import { AccountService } from '../auth/account.service';
import { OperatorSessions } from '../sessions/operator-sessions';
import { IsNewPassword } from '../users/user-rules';
import { SignUpRequest, toProfile } from '../users/users.dto';
import { UsersService } from '../users/users.service';
import { type Command, CommandError, type Report, UsageError } from './command';
import { atTheConsole, findUser } from './operator';
import { readSecret } from './standard-input';

const ONE_USER = { shown: 'NAME', least: 1, most: 1, missing: 'Name one user.' };

/** A password that an operator sets. */
class SetPasswordRequest {
  @IsNewPassword()
  password: string;
}

export const USER_COMMANDS: Command[] = [
  {
    name: 'user create',
    mayInitialize: true,
    summary: 'makes an account; its password is read from standard input',
    options: {
      username: { value: 'NAME', required: true, summary: 'what the user signs in with' },
      email: { value: 'ADDRESS', required: true, summary: 'e-mail address' },
    },
    examples: [
      {
        line: `printf '%s' "$PASSWORD" | latchkey user create --username sam.hill --email sam@example.com`,
        purpose: 'also where sign-up is closed',
      },
    ],
    async run({ options }, { services }) {
      const request = await checked(SignUpRequest, { ...options, password: await readSecret() });
      const context = await services();
      const user = await context.get(UsersService).register(request, atTheConsole(context));
      return { text: `Made user ${user.username} (${user.id}).`, data: toProfile(user) };
    },
  },
  {
    name: 'user show',
    parameters: ONE_USER,
    summary: 'prints what is known of an account, how many sessions stand and how many keys it has',
    examples: [{ line: 'latchkey user show sam.hill', purpose: 'an id will do too' }],
    async run({ words: [name = ''] }, { services }) {
      const context = await services();
      const user = await findUser(context, name);
      let sessions = 0;
      for await (const _ of context.get(OperatorSessions).list({ userId: user.id })) sessions += 1;
      const keys = (await context.get(ApiKeysService).list(user.id)).length;
      const data = {
        ...toProfile(user),
        ...{ disabled: user.disabledAt !== null, scopes: parseScopes(user.scopes), sessions, keys },
      };
      const text = Object.entries(data)
        .map(([field, value]) => `${field.padEnd(10)} ${Array.isArray(value) ? value.join(' ') : value}`)
        .join('\n');
      return { text, data };
    },
  },
  {
    name: 'user disable',
    parameters: ONE_USER,
    summary: 'ends the sessions of an account, stops its keys and keeps it from signing in',
    examples: [{ line: 'latchkey user disable sam.hill', purpose: 'within a second on every instance' }],
    async run({ words: [name = ''] }, { services }) {
      const context = await services();
      const user = await findUser(context, name);
      const changed = await context.get(AccountService).disable(user.id, atTheConsole(context));
      const text = changed ? `Disabled ${user.username}.` : `${user.username} was disabled already.`;
      return { text, data: { id: user.id, username: user.username, disabled: true, changed } };
    },
  },
  {
    name: 'user enable',
    parameters: ONE_USER,
    summary: 'lets an account sign in again and its keys work again',
    examples: [{ line: 'latchkey user enable sam.hill', purpose: 'its sessions stay ended' }],
    async run({ words: [name = ''] }, { services }) {
      const context = await services();
      const user = await findUser(context, name);
      const changed = await context.get(AccountService).enable(user.id, atTheConsole(context));
      const text = changed ? `Enabled ${user.username}.` : `${user.username} was enabled already.`;
      return { text, data: { id: user.id, username: user.username, disabled: false, changed } };
    },
  },
  {
    name: 'user set-password',
    parameters: ONE_USER,
    summary: 'sets a new password, read from standard input, and ends every session of the account',
    options: { 'delete-keys': { summary: 'deletes its API keys too' } },
    examples: [
      {
        line: `printf '%s' "$PASSWORD" | latchkey user set-password sam.hill`,
        purpose: 'for somebody who has forgotten it; a disabled account stays disabled',
      },
    ],
    async run({ words: [name = ''], flags }, { services }) {
      const { password } = await checked(SetPasswordRequest, { password: await readSecret() });
      const context = await services();
      const user = await findUser(context, name);
      const keys = flags.has('delete-keys') ? 'delete' : 'keep';
      const account = context.get(AccountService);
      if (!(await account.setPassword(user, password, keys, atTheConsole(context))))
        throw goneMeanwhile(name);
      const keysDeleted = keys === 'delete';
      // npm keeps an option without `--` before it to itself, so it is said what became of them.
      const ofKeys = keysDeleted ? 'are deleted' : 'stay (--delete-keys deletes them)';
      const text = `Set a new password for ${user.username}; every session has ended. Its API keys ${ofKeys}.`;
      return { text, data: { id: user.id, username: user.username, keysDeleted } };
    },
  },
  {
    name: 'user delete',
    parameters: ONE_USER,
    summary: 'deletes an account with its sessions and keys; the audit trail stays',
    examples: [
      { line: 'latchkey user delete sam.hill', purpose: 'at once, without a question, and for good' },
    ],
    async run({ words: [name = ''] }, { services }) {
      const context = await services();
      const user = await findUser(context, name);
      if (!(await context.get(AccountService).deleteForOperator(user.id, atTheConsole(context))))
        throw goneMeanwhile(name);
      const text = `Deleted ${user.username} (${user.id}).`;
      return { text, data: { id: user.id, username: user.username, deleted: true } };
    },
  },
  {
    name: 'user scopes',
    parameters: { shown: 'NAME SCOPE…', least: 2, most: Infinity, missing: "Name the scopes, or '*'." },
    summary:
      "sets what an account and its keys may do at most, and ends its sessions if that takes something away; '*' is everything but introspect:all",
    examples: [
      { line: 'latchkey user scopes sam.hill invoices:read users:read', purpose: 'no more than these' },
      { line: "latchkey user scopes gateway '*' introspect:all", purpose: 'for a service that asks for all' },
    ],
    run: async ({ words: [name = '', ...scopes] }, { services }): Promise<Report> => {
      requireScopes(scopes);
      const context = await services();
      const user = await findUser(context, name);
      const account = context.get(AccountService);
      if (!(await account.setScopes(user.id, scopes, atTheConsole(context)))) throw goneMeanwhile(name);
      const text = `${user.username} may do: ${scopes.join(' ')}.`;
      return { text, data: { id: user.id, username: user.username, scopes } };
    },
  },
];

function requireScopes(scopes: string[]): void {
  const wrong = scopes.find((scope) => scope !== ALL_SCOPES && !SCOPE_SHAPE.test(scope));
  if (wrong !== undefined) throw new UsageError(`'${wrong}' is no scope: write resource:action, or '*'.`);
  if (scopes.length > MOST_SCOPES || new Set(scopes).size < scopes.length) {
    throw new UsageError(`Name at most ${MOST_SCOPES} scopes, each once.`);
  }
}

/** The same rules as over HTTP. */
async function checked<T extends object>(
  kind: new () => T,
  fields: Partial<Record<string, string>>,
): Promise<T> {
  const request = plainToInstance(kind, fields);
  const [fault] = await validate(request);
  if (fault) throw new CommandError(Object.values(fault.constraints ?? {}).join('; '));
  return request;
}

const goneMeanwhile = (name: string) => new CommandError(`There is no user '${name}' any more.`);
