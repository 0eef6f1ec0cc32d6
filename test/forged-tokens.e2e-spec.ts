import { generateKeyPairSync, sign as signWith } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ErrorCode } from '../src/core/errors';
import { KeyRing } from '../src/crypto/key-ring';
import { type Answer, startApp, type TestApp } from './support/app';
import { claimsOf, forge, HEADER, JWT_SECRET, sign } from './support/forgery';
import {
  type CreatedKeyBody,
  createKey,
  logIn,
  type LoginBody,
  newcomer,
  type Person,
  signUp,
} from './support/people';

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** The same bytes, spelled otherwise: base64url has bits too many at the end, and these are set. */
function respell(text: string, by: number): string {
  const last = BASE64URL.indexOf(text.at(-1) as string);
  return text.slice(0, -1) + BASE64URL[last | by];
}

describe('a forged token', () => {
  let app: TestApp;
  let genuine: string;
  let claims: Record<string, unknown> & { iat: number; exp: number };
  let person: Person & LoginBody;
  /** Listens where tokens say that their keys are. */
  let asked = 0;
  const lure = createServer((_, response) => {
    asked += 1;
    response.end('{"keys":[]}');
  });
  let elsewhere: string;

  beforeAll(async () => {
    app = await startApp({ JWT_SECRET });
    person = await newcomer(app);
    genuine = person.token;
    claims = claimsOf(genuine) as typeof claims;
    await new Promise<void>((resolve) => lure.listen(0, '127.0.0.1', resolve));
    elsewhere = `http://127.0.0.1:${(lure.address() as AddressInfo).port}/keys`;
  });
  afterAll(async () => {
    await new Promise((resolve) => lure.close(resolve));
    await app.close();
  });

  const refusal = async (authorization: string) => {
    const { status, body, headers } = await app.call('GET', '/users/me', { headers: { authorization } });
    return [status, body['error'], headers.get('x-error-code'), headers.get('www-authenticate')];
  };

  /** With other claims than the genuine ones, well signed. */
  const claiming = (others: Record<string, unknown>) => forge({ ...claims, ...others });
  /** With another header, well signed. */
  const headed = (header: unknown) => forge(claims, header);
  /** With claims that are the text given, well signed. */
  const spelled = (change: (text: string) => string) => forge(change(JSON.stringify(claims)));
  const parts = () => genuine.split('.') as [string, string, string];
  const asymmetric = (alg: 'RS256' | 'ES256') => {
    const { privateKey } =
      alg === 'RS256'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const signed = forge(claims, { alg, typ: 'JWT' }).split('.').slice(0, 2).join('.');
    return `${signed}.${signWith('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  };

  /** What is forged, how it is sent, and the code of the refusal where it is not `token_invalid`. */
  const FORGERIES: [name: string, token: () => string, code?: ErrorCode][] = [
    // No token, or more than one.
    ['nothing behind the scheme', () => 'Bearer'],
    ['a blank behind the scheme', () => 'Bearer '],
    ['another scheme', () => `Basic ${Buffer.from('jane:doe').toString('base64')}`],
    ['another scheme before it', () => `Token ${genuine}`],
    ['DPoP for its scheme', () => `DPoP ${genuine}`],
    ['no scheme', () => genuine],
    ['the scheme twice', () => `Bearer Bearer ${genuine}`],
    ['two blanks', () => `Bearer  ${genuine}`],
    ['a tab', () => `Bearer\t${genuine}`],
    ['two tokens', () => `Bearer ${genuine} ${genuine}`],
    ['two tokens and a comma', () => `Bearer ${genuine}, Bearer ${genuine}`],
    ['something behind it', () => `Bearer ${genuine} x`],
    ['a comma behind it', () => `Bearer ${genuine},`],
    ['quotes', () => `Bearer "${genuine}"`],
    ['the form of a parameter', () => `Bearer token=${genuine}`],

    // Its form.
    ['no signature', () => `Bearer ${parts()[0]}.${parts()[1]}.`],
    ['two parts', () => `Bearer ${parts()[0]}.${parts()[1]}`],
    ['no claims', () => `Bearer ${sign(`${parts()[0]}.`)}`],
    ['a fourth part', () => `Bearer ${genuine}.x`],
    ['five parts, as of an encrypted one', () => `Bearer ${genuine}.x.y`],
    [
      'JSON for its form',
      () => `Bearer {"payload":"${parts()[1]}","protected":"${parts()[0]}","signature":"${parts()[2]}"}`,
    ],
    ['padding', () => `Bearer ${genuine}=`],
    ['padding within', () => `Bearer ${sign(`${parts()[0]}=.${parts()[1]}`)}`],
    ['padded claims', () => `Bearer ${sign(`${parts()[0]}.${parts()[1]}=`)}`],
    ['the first spare bit of its signature set', () => `Bearer ${respell(genuine, 1)}`],
    ['the second spare bit of its signature set', () => `Bearer ${respell(genuine, 2)}`],
    ['both spare bits of its signature set', () => `Bearer ${respell(genuine, 3)}`],
    [
      'a spare bit of its claims set',
      () => {
        // 1 or 2 bytes behind the last whole group of three leave bits over.
        const text = Buffer.from(JSON.stringify({ ...claims, x: 1 }));
        const padded = text.length % 3 === 0 ? JSON.stringify({ ...claims, x: 10 }) : text.toString();
        return `Bearer ${sign(`${parts()[0]}.${respell(Buffer.from(padded).toString('base64url'), 1)}`)}`;
      },
    ],
    [
      'the other base64 alphabet',
      () =>
        `Bearer ${forge({ ...claims, x: '???>>>~~~' })
          .replaceAll('_', '/')
          .replaceAll('-', '+')}`,
    ],
    ['a percent sign', () => `Bearer ${genuine.replace('.', '%2e')}`],
    ['a character short', () => `Bearer ${genuine.slice(0, -1)}`],
    ['a character long', () => `Bearer ${genuine}A`],
    ['a megabyte of claims, almost', () => `Bearer ${claiming({ x: 'x'.repeat(9000) }).slice(0, 12_000)}`],

    // Its signature.
    [
      'a changed signature',
      () => `Bearer ${genuine.slice(0, -3)}${genuine.at(-3) === 'A' ? 'B' : 'A'}${genuine.slice(-2)}`,
    ],
    ['a signature of zeros', () => `Bearer ${parts()[0]}.${parts()[1]}.${'A'.repeat(43)}`],
    [
      'a changed claim',
      () => `Bearer ${parts()[0]}.${forge({ ...claims, sub: 'user_x' }).split('.')[1]}.${parts()[2]}`,
    ],
    ['another key', () => `Bearer ${forge(claims, HEADER, 'another secret')}`],
    ['an empty key', () => `Bearer ${forge(claims, HEADER, '')}`],
    ['the public name of the key', () => `Bearer ${forge(claims, HEADER, 'latchkey/access-token/v1')}`],
    [
      'the key of refresh tokens',
      () => `Bearer ${forge(claims, HEADER, app.nest.get(KeyRing).refreshToken.current)}`,
    ],
    [
      'the key of messages between instances',
      () => `Bearer ${forge(claims, HEADER, app.nest.get(KeyRing).revocationChannel.current)}`,
    ],

    // Its header.
    ['alg none', () => `Bearer ${headed({ alg: 'none', typ: 'JWT' })}`],
    ['alg none, unsigned', () => `Bearer ${headed({ alg: 'none', typ: 'JWT' }).replace(/[^.]+$/, '')}`],
    ['alg None', () => `Bearer ${headed({ alg: 'None', typ: 'JWT' })}`],
    ['alg in lower case', () => `Bearer ${headed({ alg: 'hs256', typ: 'JWT' })}`],
    ['HS384', () => `Bearer ${forge(claims, { alg: 'HS384', typ: 'JWT' }, JWT_SECRET, 'sha384')}`],
    ['HS512', () => `Bearer ${forge(claims, { alg: 'HS512', typ: 'JWT' }, JWT_SECRET, 'sha512')}`],
    ['RS256', () => `Bearer ${asymmetric('RS256')}`],
    ['ES256', () => `Bearer ${asymmetric('ES256')}`],
    ['RS256 and our own signature', () => `Bearer ${headed({ alg: 'RS256', typ: 'JWT' })}`],
    ['no alg', () => `Bearer ${headed({ typ: 'JWT' })}`],
    ['a null for alg', () => `Bearer ${headed({ alg: null, typ: 'JWT' })}`],
    ['a list for alg', () => `Bearer ${headed({ alg: ['HS256'], typ: 'JWT' })}`],
    ['no typ', () => `Bearer ${headed({ alg: 'HS256' })}`],
    ['the typ of another kind', () => `Bearer ${headed({ alg: 'HS256', typ: 'at+jwt' })}`],
    ['the typ of a logout token', () => `Bearer ${headed({ alg: 'HS256', typ: 'logout+jwt' })}`],
    ['a typ in lower case', () => `Bearer ${headed({ alg: 'HS256', typ: 'jwt' })}`],
    ['a cty', () => `Bearer ${headed({ ...HEADER, cty: 'JWT' })}`],
    ['members in another order', () => `Bearer ${headed({ typ: 'JWT', alg: 'HS256' })}`],
    ['alg twice', () => `Bearer ${headed('{"alg":"none","alg":"HS256","typ":"JWT"}')}`],
    ['blanks in its header', () => `Bearer ${headed('{"alg": "HS256", "typ": "JWT"}')}`],
    ['a kid that is a path', () => `Bearer ${headed({ ...HEADER, kid: '../../etc/passwd' })}`],
    ['a kid that is SQL', () => `Bearer ${headed({ ...HEADER, kid: "' OR 1=1 --" })}`],
    ['a jku', () => `Bearer ${headed({ ...HEADER, jku: elsewhere })}`],
    ['an x5u', () => `Bearer ${headed({ ...HEADER, x5u: elsewhere })}`],
    ['an x5c', () => `Bearer ${headed({ ...HEADER, x5c: ['MIIB'] })}`],
    ['a key of its own', () => `Bearer ${headed({ ...HEADER, jwk: { kty: 'oct', k: 'AAAA' } })}`],
    ['a crit that nobody knows', () => `Bearer ${headed({ ...HEADER, crit: ['x'], x: 1 })}`],
    ['a crit that some know', () => `Bearer ${headed({ ...HEADER, crit: ['b64'], b64: false })}`],
    ['an empty crit', () => `Bearer ${headed({ ...HEADER, crit: [] })}`],
    ['a header that is no JSON', () => `Bearer ${headed('header')}`],
    ['an empty header', () => `Bearer ${sign(`.${parts()[1]}`)}`],

    // What its claims are.
    ['claims that are a list', () => `Bearer ${forge([claims])}`],
    ['claims that are text', () => `Bearer ${forge('"claims"')}`],
    ['claims that are null', () => `Bearer ${forge(null)}`],
    ['claims that are a number', () => `Bearer ${forge(1)}`],
    ['claims that are no JSON', () => `Bearer ${forge('{"sub":')}`],
    ['no claims at all', () => `Bearer ${forge({})}`],
    ['a claim twice', () => `Bearer ${spelled((text) => text.replace('{', '{"sub":"user_x",'))}`],
    [
      'a claim twice, once escaped',
      () => `Bearer ${spelled((text) => text.replace('{', '{"s\\u0075b":"user_x",'))}`,
    ],
    ['blanks in its claims', () => `Bearer ${spelled((text) => text.replace(':', ': '))}`],
    ['a line break behind its claims', () => `Bearer ${spelled((text) => `${text}\n`)}`],
    ['an escape in its claims', () => `Bearer ${spelled((text) => text.replace('user_', '\\u0075ser_'))}`],
    ['claims that it only inherits', () => `Bearer ${forge(`{"__proto__":${JSON.stringify(claims)}}`)}`],
    [
      'an exponent in its exp',
      () => `Bearer ${spelled((text) => text.replace(`"exp":${claims.exp}`, `"exp":${claims.exp}0e-1`))}`,
    ],
    [
      'a byte order mark',
      () =>
        `Bearer ${sign(`${parts()[0]}.${Buffer.from(`\uFEFF${JSON.stringify(claims)}`).toString('base64url')}`)}`,
    ],
    [
      'claims that are not UTF-8',
      () =>
        `Bearer ${sign(`${parts()[0]}.${Buffer.from(JSON.stringify({ ...claims, x: 'ÿ' }), 'latin1').toString('base64url')}`)}`,
    ],

    // When it is good.
    ['no exp', () => `Bearer ${claiming({ exp: undefined })}`],
    ['text for exp', () => `Bearer ${claiming({ exp: '9999999999' })}`],
    ['null for exp', () => `Bearer ${claiming({ exp: null })}`],
    ['true for exp', () => `Bearer ${claiming({ exp: true })}`],
    ['a list for exp', () => `Bearer ${claiming({ exp: [claims.exp] })}`],
    ['a fractional exp', () => `Bearer ${claiming({ exp: claims.exp + 0.5 })}`],
    ['a negative exp', () => `Bearer ${claiming({ exp: -1 })}`],
    ['an exp beyond all integers', () => `Bearer ${claiming({ exp: 1e300 })}`],
    ['an exp just beyond all integers', () => `Bearer ${claiming({ exp: 2 ** 53 })}`],
    [
      'an infinite exp',
      () => `Bearer ${spelled((text) => text.replace(`"exp":${claims.exp}`, '"exp":1e999'))}`,
    ],
    ['an exp of long ago', () => `Bearer ${claiming({ exp: 0 })}`, 'token_expired'],
    [
      'an exp of a second ago',
      () => `Bearer ${claiming({ exp: Math.floor(app.clock.now().getTime() / 1000) })}`,
      'token_expired',
    ],
    [
      'an exp of a second ago, and another key',
      () => `Bearer ${forge({ ...claims, exp: 1 }, HEADER, 'another secret')}`,
    ],
    ['an exp of a second ago, and another aud', () => `Bearer ${claiming({ exp: 1, aud: 'x' })}`],
    ['no iat', () => `Bearer ${claiming({ iat: undefined })}`],
    ['text for iat', () => `Bearer ${claiming({ iat: String(claims.iat) })}`],
    ['a negative iat', () => `Bearer ${claiming({ iat: -1 })}`],
    ['an iat six seconds ahead', () => `Bearer ${claiming({ iat: claims.iat + 6 })}`],
    ['an nbf six seconds ahead', () => `Bearer ${claiming({ nbf: claims.iat + 6 })}`],
    ['text for nbf', () => `Bearer ${claiming({ nbf: '0' })}`],
    ['null for nbf', () => `Bearer ${claiming({ nbf: null })}`],
    ['no auth_time', () => `Bearer ${claiming({ auth_time: undefined })}`],
    ['text for auth_time', () => `Bearer ${claiming({ auth_time: 'now' })}`],
    ['a number for the name', () => `Bearer ${claiming({ preferred_username: 1 })}`],
    ['a list for the scope', () => `Bearer ${claiming({ scope: ['*'] })}`],

    // Whose it is and whom it is for.
    ...['sub', 'sid', 'jti', 'iss', 'aud'].flatMap((claim): [string, () => string][] => [
      [`no ${claim}`, () => `Bearer ${claiming({ [claim]: undefined })}`],
      [`null for ${claim}`, () => `Bearer ${claiming({ [claim]: null })}`],
      [`a number for ${claim}`, () => `Bearer ${claiming({ [claim]: 1 })}`],
      [`an object for ${claim}`, () => `Bearer ${claiming({ [claim]: { $ne: null } })}`],
      [`a list for ${claim}`, () => `Bearer ${claiming({ [claim]: [claims[claim]] })}`],
      [`an empty ${claim}`, () => `Bearer ${claiming({ [claim]: '' })}`],
    ]),
    ['an iss with a slash more', () => `Bearer ${claiming({ iss: 'http://localhost:3000/' })}`],
    ['an iss in capitals', () => `Bearer ${claiming({ iss: 'HTTP://LOCALHOST:3000' })}`],
    ['an aud with a digit more', () => `Bearer ${claiming({ aud: 'http://localhost:30001' })}`],
    ['an aud with a digit less', () => `Bearer ${claiming({ aud: 'http://localhost:300' })}`],
    ['a list of aud that holds ours', () => `Bearer ${claiming({ aud: ['x', 'http://localhost:3000'] })}`],
    ['the id of a key for sid', () => `Bearer ${claiming({ sid: 'key_01kapv8s6pefr8y0h5b2e9mwkd' })}`],
    ['the id of a session for sub', () => `Bearer ${claiming({ sub: claims['sid'] })}`],
  ];

  const OTHER_SCHEMES = ['another scheme', 'another scheme before it', 'DPoP for its scheme', 'no scheme'];

  it.each(FORGERIES)('is refused: with %s', async (name, token, code = 'token_invalid') => {
    // Who comes by another scheme has sent no token whose fault could be named (RFC 6750 section 3.1).
    const challenge = OTHER_SCHEMES.includes(name) ? 'Bearer' : 'Bearer error="invalid_token"';
    const expected = [401, 'Authentication required', code, challenge];
    // What a token claims is remembered once it was found good: the genuine one is known, and this one must not become it.
    await refusal(`Bearer ${genuine}`);
    const sent = token();

    expect(await refusal(sent)).toEqual(expected);
    expect(await refusal(sent)).toEqual(expected);
  });

  it('is inactive to a service that asks, and 401 to a proxy, whatever is forged', async () => {
    const { apiKey } = await createKey(app, genuine, { scopes: ['introspect'] });
    const introspect = async (token: string) =>
      (await app.call('POST', '/auth/introspect', { key: apiKey, body: { token } })).body;
    const verify = async (authorization: string) =>
      (await app.call('GET', '/auth/verify', { headers: { authorization } })).status;

    const answers: [name: string, introspected: object | undefined, verified: number][] = [];
    for (const [name, token] of FORGERIES) {
      const sent = token();
      // Where nothing but the scheme is wrong there is no token to ask about, or the genuine one.
      const text = sent.replace(/^Bearer ?/, '');
      const asks = text !== '' && text !== genuine;
      answers.push([name, asks ? await introspect(text) : undefined, await verify(sent)]);
    }

    const schemes = ['nothing behind the scheme', 'a blank behind the scheme', 'no scheme'];
    const inactive = (name: string) => (schemes.includes(name) ? undefined : { active: false });
    expect(answers).toEqual(FORGERIES.map(([name]) => [name, inactive(name), 401]));
    expect(await introspect(genuine)).toMatchObject({ active: true, sub: person.id });
    expect(await verify(`Bearer ${genuine}`)).toBe(200);
  });

  it('is refused in more than sixty ways, while the genuine one it is made from is good', async () => {
    expect(FORGERIES.length).toBeGreaterThan(60);
    expect(new Set(FORGERIES.map(([name]) => name)).size).toBe(FORGERIES.length);
    expect(forge(claims)).toBe(genuine);
    expect((await refusal(`Bearer ${genuine}`))[0]).toBe(200);
  });

  it('is refused with one bit changed, whichever byte of it or of what it encodes the bit is in', async () => {
    const flipped = (bytes: Buffer, at: number) => {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(at) ^ (1 << (at % 8)), at);
      return changed;
    };
    const ofText = Array.from({ length: genuine.length }, (_, at) => {
      // Not the highest bit: a header holds no such character.
      const changed = Buffer.from(genuine);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      return changed.toString('latin1');
    });
    const ofBytes = parts().flatMap((part, index) => {
      const bytes = Buffer.from(part, 'base64url');
      return Array.from({ length: bytes.length }, (_, at) =>
        parts().with(index, flipped(bytes, at).toString('base64url')).join('.'),
      );
    });
    await refusal(`Bearer ${genuine}`);

    const statuses = new Map<number, number>();
    for (const token of [...ofText, ...ofBytes]) {
      const { status } = await app.fetch('/api/v1/users/me', {
        headers: { authorization: `Bearer ${token}` },
      });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }

    expect(ofBytes.length).toBeGreaterThan(300);
    expect([...statuses]).toEqual([[401, ofText.length + ofBytes.length]]);
  });

  it('sends the service nowhere to look for keys', async () => {
    for (const [, token] of FORGERIES) await refusal(token());

    // The only one who has asked, and he is seen.
    await fetch(elsewhere);
    expect(asked).toBe(1);
  });
});

describe('every kind of credential', () => {
  let app: TestApp;
  let person: Person & LoginBody;
  let service: CreatedKeyBody;
  let kinds: Record<string, string>;
  // Logins and reports by the dozen, of one account.
  beforeAll(async () => (app = await startApp({ JWT_SECRET, RATE_LIMITS: 'off' })));
  beforeEach(async () => {
    // Without blanks, so that it can be sent in a header.
    const signedUp = await signUp(app, { password: 'six-brass-lanterns-hum' });
    person = { ...signedUp, ...(await logIn(app, signedUp)) };
    service = await createKey(app, person.token, { scopes: ['introspect'] });
    const { apiKey, keyId } = await createKey(app, person.token);
    const { sid, jti } = claimsOf(person.token) as { sid: string; jti: string };
    kinds = {
      'access token': person.token,
      'refresh token': person.refreshToken,
      'device token': person.deviceToken,
      'API key': apiKey,
      'id of a session': sid,
      'id of a token': jti,
      'id of an account': person.id,
      'id of a key': keyId,
      'user name': person.username,
      password: person.password,
    };
  });
  afterAll(() => app.close());

  interface Place {
    belongs: string[];
    send: (text: string) => Promise<Answer>;
    /** Whether it did there what a credential does; otherwise: whether the answer is 200. */
    works?: (text: string, answer: Answer) => boolean | Promise<boolean>;
  }

  const logInWith = (more: object) =>
    app.call('POST', '/auth/login', {
      body: { username: person.username, password: person.password, ...more },
    });

  const PLACES: Record<string, Place> = {
    'the Authorization header': {
      belongs: ['access token'],
      send: (text) => app.call('GET', '/users/me', { token: text }),
    },
    'the X-API-Key header': {
      belongs: ['API key'],
      send: (text) => app.call('GET', '/users/me', { key: text }),
    },
    'the body of a refresh': {
      belongs: ['refresh token'],
      send: (text) => app.call('POST', '/auth/refresh', { body: { refreshToken: text } }),
    },
    'the password of a login': {
      belongs: ['password'],
      send: (text) => logInWith({ password: text }),
    },
    'the device token of a login': {
      belongs: ['device token'],
      send: (text) => logInWith({ deviceToken: text }),
      // A device that is not known is given another one.
      works: (text, { body }) => body['deviceToken'] === text,
    },
    'an introspection': {
      belongs: ['access token', 'API key'],
      send: (text) => app.call('POST', '/auth/introspect', { key: service.apiKey, body: { token: text } }),
      works: (_, { body }) => body['active'] === true,
    },
    'the report of a key': {
      belongs: ['API key'],
      send: (text) => app.call('POST', '/auth/keys/report', { body: { apiKey: text } }),
      works: async () => {
        const owns = [{ token: person.token }, { key: service.apiKey }, { key: kinds['API key'] as string }];
        const answers = await Promise.all(owns.map((own) => app.call('GET', '/auth/verify', own)));
        return answers.some(({ status }) => status !== 200);
      },
    },
  };

  it.each(Object.keys(PLACES))('is refused where it does not belong: in %s', async (place) => {
    const { belongs, send, works = (_, { status }) => status === 200 } = PLACES[place] as Place;
    const wrongOnes = Object.keys(kinds).filter((kind) => !belongs.includes(kind));

    const statuses = new Set<number>();
    const working: string[] = [];
    for (const kind of [...wrongOnes, ...belongs]) {
      const answer = await send(kinds[kind] as string);
      statuses.add(answer.status);
      if (await works(kinds[kind] as string, answer)) working.push(kind);
    }

    expect(working).toEqual(belongs);
    // What is too long for a password or a device token is 400.
    expect([...statuses].filter((status) => ![200, 202, 204, 400, 401].includes(status))).toEqual([]);
  });

  it('is refused once its session has ended or its account is gone', async () => {
    const [out, gone] = [await newcomer(app), await newcomer(app)];
    await app.call('POST', '/auth/logout', { token: out.token });
    await app.call('DELETE', '/users/me', { token: gone.token, body: { password: gone.password } });

    for (const { token, refreshToken } of [out, gone]) {
      const { status, headers } = await app.call('GET', '/users/me', { token });
      expect([status, headers.get('x-error-code')]).toEqual([401, 'token_revoked']);
      expect((await app.call('POST', '/auth/refresh', { body: { refreshToken } })).status).toBe(401);
    }
  });
});
