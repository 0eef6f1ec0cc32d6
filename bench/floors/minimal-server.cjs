// @ts-check
// The least that can answer our contract: node:http, one read of the database per GET, one guarded update and one read per
// refresh, one hash at a time, and the claims of Latchkey's access tokens. No validation, no limits, no audit trail, no
// revocation: a floor, not a product. It runs on the database that Latchkey has filled.
'use strict';
const { createHash, createHmac, createSecretKey, randomBytes, timingSafeEqual } = require('node:crypto');
const { createServer } = require('node:http');
const { join } = require('node:path');
const { Piscina } = require('piscina');

const secret = createSecretKey(process.env.JWT_SECRET ?? '', 'utf8');
const HEADER = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9';
const USER = 'SELECT id, username, email, created_at FROM users WHERE id = ?';
const OWNER = `SELECT u.id, u.username, u.email, u.created_at FROM api_key_secrets s
  JOIN api_keys k ON k.id = s.key_id JOIN users u ON u.id = k.user_id WHERE s.hash = ?`;
const hashes = new Piscina({
  filename: join(process.env.BUILD ?? '', 'crypto', 'hash-worker.js'),
  maxThreads: 1,
});

/**
 * @typedef {(sql: string, values: unknown[]) => Promise<any>} Query
 * @typedef {{ one: Query, write: Query }} Store
 */

/**
 * @param {string} url
 * @returns {Promise<Store>}
 */
async function open(url) {
  if (url.startsWith('sqlite:')) {
    const { DatabaseSync } = require('@photostructure/sqlite');
    const database = new DatabaseSync(url.slice('sqlite:'.length));
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000');
    /** @type {Map<string, any>} */
    const statements = new Map();
    /** @param {string} sql */
    const prepared = (sql) => {
      let statement = statements.get(sql);
      if (!statement) statements.set(sql, (statement = database.prepare(sql)));
      return statement;
    };
    return {
      one: async (sql, values) => prepared(sql).get(...values),
      write: async (sql, values) => prepared(sql).run(...values).changes,
    };
  }
  /** @type {any} */
  const pool = require('mysql2/promise').createPool({ uri: url, connectionLimit: 10, timezone: 'Z' });
  return {
    one: async (sql, values) => (await pool.execute(sql, values))[0][0],
    write: async (sql, values) => (await pool.execute(sql, values))[0].affectedRows,
  };
}

/** @param {object} claims */
function sign(claims) {
  const body = `${HEADER}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
}

/** @param {string} token */
function verified(token) {
  const end = token.lastIndexOf('.');
  const expected = createHmac('sha256', secret).update(token.slice(0, end)).digest();
  const actual = Buffer.from(token.slice(end + 1), 'base64url');
  if (actual.length !== expected.length || !timingSafeEqual(actual, expected)) return undefined;
  const claims = JSON.parse(Buffer.from(token.slice(token.indexOf('.') + 1, end), 'base64url').toString());
  return claims.exp > Date.now() / 1000 ? claims : undefined;
}

/** @param {any} row */
const described = (row) => ({
  id: row.id,
  username: row.username,
  email: row.email,
  createdAt: new Date(row.created_at).toISOString().replace(/\.\d+/, ''),
});

/**
 * @param {Store} store
 * @param {import('node:http').IncomingHttpHeaders} headers
 */
async function whoami(store, headers) {
  const key = headers['x-api-key'];
  if (key) {
    return store.one(OWNER, [
      createHash('sha256')
        .update(/** @type {string} */ (key))
        .digest('hex'),
    ]);
  }
  const claims = verified(String(headers.authorization).slice('Bearer '.length));
  return claims && store.one(USER, [claims.sub]);
}

const TOKEN_SECONDS = 3600;
const IDLE_SECONDS = 30 * 24 * 3600;

/**
 * The claims that the contract asks for, and Latchkey's lifetimes.
 * @param {{ id: string, user_id: string, username: string, signed_in_at: number }} session
 */
function tokensFor({ id, user_id: sub, username, signed_in_at }) {
  const iat = Math.floor(Date.now() / 1000);
  const token = sign({
    ...{ iss: 'latchkey', aud: 'latchkey', sub, sid: `sess_${id.slice(0, 26)}` },
    ...{ jti: randomBytes(16).toString('base64url'), iat, exp: iat + TOKEN_SECONDS },
    ...{ auth_time: signed_in_at, preferred_username: username },
  });
  return { token, expires_in: TOKEN_SECONDS, refresh_expires_in: IDLE_SECONDS };
}

/**
 * @param {Store} store
 * @param {{ username: string, password: string }} login
 */
async function login(store, { username, password }) {
  const user = await store.one(
    'SELECT id, username, email, password_hash FROM users WHERE username_canonical = ?',
    [username],
  );
  const hash = { scheme: 'argon2', text: user.password_hash };
  if (!(await hashes.run({ kind: 'verify', password, hash }))) return undefined;
  const id = randomBytes(16).toString('hex');
  const now = Math.floor(Date.now() / 1000);
  await store.write(
    `INSERT INTO bench_sessions (id, user_id, generation, signed_in_at, rotated_at, idle_ends_at)
     VALUES (?, ?, 0, ?, ?, ?)`,
    [id, user.id, now, now, now + IDLE_SECONDS],
  );
  return {
    ...tokensFor({ id, user_id: user.id, username: user.username, signed_in_at: now }),
    refreshToken: refreshToken(id, 0),
    user: { id: user.id, username: user.username, email: user.email },
  };
}

/**
 * @param {string} id
 * @param {number} generation
 */
function refreshToken(id, generation) {
  const body = `${id}.${generation}`;
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
}

/**
 * @param {Store} store
 * @param {{ refreshToken: string }} body
 */
async function refresh(store, { refreshToken: presented }) {
  const [id = '', generation = ''] = presented.split('.');
  if (presented !== refreshToken(id, Number(generation))) return undefined;
  const session = await store.one(
    `SELECT s.id AS id, s.user_id AS user_id, s.signed_in_at AS signed_in_at, s.idle_ends_at AS idle_ends_at, u.username AS username
     FROM bench_sessions s JOIN users u ON u.id = s.user_id WHERE s.id = ?`,
    [id],
  );
  const now = Math.floor(Date.now() / 1000);
  if (!session || session.idle_ends_at < now) return undefined;
  const advanced = await store.write(
    `UPDATE bench_sessions SET generation = generation + 1, rotated_at = ?, idle_ends_at = ?
     WHERE id = ? AND generation = ?`,
    [now, now + IDLE_SECONDS, id, Number(generation)],
  );
  if (advanced !== 1) return undefined;
  return { ...tokensFor(session), refreshToken: refreshToken(id, Number(generation) + 1) };
}

/** @param {import('node:http').IncomingMessage} request */
async function bodyOf(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return JSON.parse(text);
}

async function main() {
  const store = await open(process.env.DATABASE_URL ?? '');
  await store.write(
    `CREATE TABLE IF NOT EXISTS bench_sessions (id CHAR(32) PRIMARY KEY, user_id VARCHAR(40) NOT NULL, generation INT NOT NULL,
       signed_in_at INT NOT NULL, rotated_at INT NOT NULL, idle_ends_at INT NOT NULL)`,
    [],
  );
  /** @type {Record<string, (request: import('node:http').IncomingMessage) => Promise<object | undefined>>} */
  const routes = {
    'GET /api/v1/users/me': async ({ headers }) => {
      const row = await whoami(store, headers);
      return row && described(row);
    },
    'POST /api/v1/auth/login': async (request) => login(store, await bodyOf(request)),
    'POST /api/v1/auth/refresh': async (request) => refresh(store, await bodyOf(request)),
    'GET /health/ready': async () => ({ status: 'ok' }),
  };
  createServer((request, response) => {
    const route = routes[`${request.method} ${request.url}`];
    Promise.resolve(route?.(request)).then(
      (answer) => {
        const text = JSON.stringify(answer ?? { error: 'no' });
        response.writeHead(answer ? 200 : 401, {
          'content-type': 'application/json; charset=utf-8',
          'content-length': Buffer.byteLength(text),
        });
        response.end(text);
      },
      () => response.writeHead(503).end(),
    );
  }).listen(Number(process.env.PORT), '127.0.0.1');
}

void main();
