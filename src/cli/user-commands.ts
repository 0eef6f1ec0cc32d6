import type { INestApplicationContext } from '@nestjs/common';
import { plainToInstance } from 'class-transformer';
import { validate } from 'class-validator';
import { ALL_SCOPES, MOST_SCOPES, SCOPE_SHAPE } from '../access/scopes';
import { AccountService } from '../auth/account.service';
import { Ids } from '../core/ids';
import type { Origin } from '../core/origin';
import { SignUpRequest, toProfile } from '../users/users.dto';
import type { User } from '../users/user.entity';
import { UsersService } from '../users/users.service';
import { type Command, CommandError, type Given, UsageError } from './command';
import { readSecret } from './standard-input';

export const USER_COMMANDS: Command[] = [
  {
    name: 'user create',
    parameters: '--username NAME --email ADDRESS',
    summary: 'makes an account; its password is read from standard input',
    options: { username: { type: 'string' }, email: { type: 'string' } },
    async run(context, { options }) {
      const request = await signUpRequest({ ...options, password: await readSecret() });
      const user = await context.get(UsersService).register(request, atTheConsole(context));
      return { text: `Made user ${user.username} (${user.id}).`, data: toProfile(user) };
    },
  },
  {
    name: 'user disable',
    parameters: 'NAME',
    summary: 'ends the sessions of an account, stops its keys and keeps it from signing in',
    async run(context, given) {
      const user = await findUser(context, given);
      const changed = await context.get(AccountService).disable(user.id, atTheConsole(context));
      const text = changed ? `Disabled ${user.username}.` : `${user.username} was disabled already.`;
      return { text, data: { id: user.id, username: user.username, disabled: true, changed } };
    },
  },
  {
    name: 'user enable',
    parameters: 'NAME',
    summary: 'lets an account sign in again and its keys work again',
    async run(context, given) {
      const user = await findUser(context, given);
      const changed = await context.get(AccountService).enable(user.id, atTheConsole(context));
      const text = changed ? `Enabled ${user.username}.` : `${user.username} was enabled already.`;
      return { text, data: { id: user.id, username: user.username, disabled: false, changed } };
    },
  },
  {
    name: 'user scopes',
    parameters: "NAME SCOPE… | NAME '*' [introspect:all]",
    summary: "sets what an account and its keys may do at most; '*' is everything but introspect:all",
    async run(context, { words: [name, ...scopes] }) {
      const user = await findUser(context, { words: name === undefined ? [] : [name], options: {} });
      requireScopes(scopes);
      await context.get(AccountService).setScopes(user.id, scopes, atTheConsole(context));
      const text = `${user.username} may do: ${scopes.join(' ')}.`;
      return { text, data: { id: user.id, username: user.username, scopes } };
    },
  },
];

function requireScopes(scopes: string[]): void {
  if (scopes.length === 0) throw new UsageError("Name the scopes, or '*'.");
  const wrong = scopes.find((scope) => scope !== ALL_SCOPES && !SCOPE_SHAPE.test(scope));
  if (wrong !== undefined) throw new CommandError(`'${wrong}' is no scope: write resource:action, or '*'.`);
  if (scopes.length > MOST_SCOPES || new Set(scopes).size < scopes.length) {
    throw new CommandError(`Name at most ${MOST_SCOPES} scopes, each once.`);
  }
}

/** Whence an operator's command comes, for the audit trail. */
function atTheConsole(context: INestApplicationContext): Origin {
  return { ip: 'command line', userAgent: null, requestId: context.get(Ids).next('req') };
}

/** The same rules as at sign-up over HTTP. */
async function signUpRequest(fields: Record<string, string | undefined>): Promise<SignUpRequest> {
  const request = plainToInstance(SignUpRequest, fields);
  const [fault] = await validate(request);
  if (fault) throw new CommandError(Object.values(fault.constraints ?? {}).join('; '));
  return request;
}

async function findUser(context: INestApplicationContext, { words }: Given): Promise<User> {
  const [name, ...rest] = words;
  if (name === undefined || rest.length > 0) throw new UsageError('Name one user.');
  const user = await context.get(UsersService).findByUsername(name);
  if (!user) throw new CommandError(`There is no user '${name}'.`);
  return user;
}
