import type { INestApplicationContext } from '@nestjs/common';
import { Ids, isId } from '../core/ids';
import { beginsWithRealDay } from '../core/instant';
import type { Origin } from '../core/origin';
import type { User } from '../users/user.entity';
import { UsersService } from '../users/users.service';
import { CommandError, type Given, type Surroundings, UsageError } from './command';

const INSTANT = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/;

/** Whence an operator's command comes, for the audit trail. */
export function atTheConsole(services: INestApplicationContext): Origin {
  return { ip: 'command line', userAgent: null, requestId: services.get(Ids).next('req') };
}

/**
 * The account of that id or name. What looks like an id is one, also where nobody has it any more: somebody may call himself like
 * another's id, and would be done to what was meant for him.
 *
 * @throws CommandError
 */
export async function findUser(services: INestApplicationContext, nameOrId: string): Promise<User> {
  const users = services.get(UsersService);
  const user = await (isId('user', nameOrId) ? users.find(nameOrId) : users.findByUsername(nameOrId));
  if (!user) throw new CommandError(`There is no user '${nameOrId}'.`);
  return user;
}

/**
 * What `--user` and `--since` leave of a list.
 *
 * @throws UsageError before anything is opened, CommandError
 */
export async function ownerAndSince(
  { options }: Given,
  services: Surroundings['services'],
): Promise<{ userId?: string; since?: Date }> {
  const since = instantOf('since', options['since']);
  const owner = options['user'] === undefined ? undefined : await findUser(await services(), options['user']);
  return { ...(owner && { userId: owner.id }), ...(since && { since }) };
}

/** @throws UsageError for what is no instant; a date is the beginning of that day in UTC */
export function instantOf(option: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const instant = new Date(text);
  if (!INSTANT.test(text) || !beginsWithRealDay(text) || isNaN(instant.getTime())) {
    throw new UsageError(`--${option}: '${text}' is no instant; write 2026-11-23 or 2026-11-23T10:00:00Z.`);
  }
  return instant;
}

/** Options that filter a list by whose and by when. */
export const OWNER_OPTION = {
  user: { value: 'NAME', summary: 'only those of this user; an id will do too' },
};
export const sinceOption = (what: string) => ({
  since: { value: 'INSTANT', summary: `only those ${what} then or later, such as 2026-11-23` },
});
