import { z } from 'zod';
import { decodePart } from './percent-encoding';

/** Where rows are kept. */
export type DatabaseLocation =
  | { engine: 'sqlite'; file: string }
  | { engine: 'mysql'; host: string; port: number; user: string; password: string; database: string };

/** `DATABASE_URL`, as text. */
export const databaseUrl = z.string().transform((text, context): DatabaseLocation => {
  const location = parseDatabaseUrl(text);
  if (typeof location !== 'string') return location;
  context.addIssue(location);
  return z.NEVER;
});

function parseDatabaseUrl(text: string): DatabaseLocation | string {
  if (text.startsWith('sqlite:')) {
    const file = text.slice('sqlite:'.length);
    return file === '' ? 'must name a file, as in sqlite:data/auth.sqlite' : { engine: 'sqlite', file };
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'mysql:') {
    return 'must be sqlite:<file> or mysql://user:password@host:3306/name';
  }
  const [database, user, password] = [url.pathname.slice(1), url.username, url.password].map(decodePart);
  if (database === undefined || user === undefined || password === undefined) {
    return 'holds a % that stands for itself; write it as %25, in the password too';
  }
  if (url.hostname === '' || user === '' || !/^[\w$-]+$/.test(database)) {
    return 'must name a user, a host and a database, as in mysql://user:password@host:3306/name';
  }
  if (url.search !== '') return 'takes no parameters after the database name';
  return {
    engine: 'mysql',
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 3306 : Number(url.port),
    user,
    password,
    database,
  };
}
