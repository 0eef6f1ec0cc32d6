import 'reflect-metadata';
import { createContext } from '../app';
import type { Config } from '../config/config';
import { loadConfig } from '../config/load-config';
import { createLog, STANDARD_ERROR } from '../core/log';
import { SignUpRequest } from '../users/users.dto';
import { UsersService } from '../users/users.service';
import { CommandError } from './command';
import { exitWith } from './failure';
import { atTheConsole } from './operator';
import { guardStandardStreams } from './standard-streams';

/** The user of the documentation's examples. Her password is published, so she is no user for production. */
const JANE: SignUpRequest = {
  username: 'jane.doe',
  email: 'jane.doe@example.com',
  password: 'tidal-lantern-47-orchid',
};

/** `npm run demo`: makes the user with whom the page at /docs signs in. Harmless to repeat. */
async function main(config: Config): Promise<void> {
  // The database that a first command makes is its owner's only, like one that the server makes.
  process.umask(0o077);
  if (config.production)
    throw new CommandError('The demo user has a published password; not with NODE_ENV=production.');
  const context = await createContext(config, createLog('warn', STANDARD_ERROR));
  try {
    const users = context.get(UsersService);
    const known = await users.findByUsername(JANE.username);
    if (!known) await users.register(JANE, atTheConsole(context));
    process.stdout.write(`The demo user: ${JANE.username}, password ${JANE.password}\n`);
  } finally {
    await context.close();
  }
}

guardStandardStreams({ json: false, failure: 1 });
Promise.resolve()
  .then(() => main(loadConfig(process.env)))
  .catch(exitWith);
