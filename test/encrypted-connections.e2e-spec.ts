import { copyFileSync } from 'node:fs';
import { createConnection } from 'mysql2/promise';
import { loadConfig } from '../src/config/load-config';
import { StartError } from '../src/core/start-error';
import { openReadOnly } from '../src/database/read-only-view';
import { MASTER_SECRET, startApp, type TestApp } from './support/app';
import { type Certificate, Certificates, keyOf, pemOf } from './support/certificates';
import { createMysqlDatabase, type TestDatabase } from './support/database';
import { describeWhereInstalled } from './support/installed';
import { freePort, MariadbServer } from './support/mariadb-server';
import { newcomer } from './support/people';
import { RedisServer } from './support/redis-server';
import { TcpProxy } from './support/tcp-proxy';

const PASSWORD = 'kettle-lagoon-73';

describeWhereInstalled('openssl', 'over TLS', () => {
  let certificates: Certificates;
  let authority: Certificate;
  let ours: Certificate;
  /** That of the service. */
  let theirs: Certificate;
  /** What a server that is not ours may show. */
  const wrong: Record<string, Certificate> = {};
  beforeAll(() => {
    certificates = new Certificates();
    authority = certificates.authority();
    const names = 'DNS:localhost';
    ours = certificates.issue({ by: authority, names });
    theirs = certificates.issue({ by: authority, names: 'DNS:latchkey.example' });
    wrong['of another authority'] = certificates.issue({ by: certificates.authority(), names });
    wrong['signed by itself'] = certificates.issue({ names });
    wrong['for another host'] = certificates.issue({ by: authority, names: 'DNS:elsewhere.example' });
    wrong['that has expired'] = certificates.issue({ by: authority, names, days: -1 });
  });
  afterAll(() => certificates.remove());

  const WRONG = ['of another authority', 'signed by itself', 'for another host', 'that has expired'];

  describe('MySQL', () => {
    let server: MariadbServer;
    let database: TestDatabase;
    /** The files that the server reads. */
    let shown: Certificate;
    beforeAll(async () => {
      shown = certificates.copyOf(ours);
      server = await MariadbServer.create({ options: withTls() });
      database = await createMysqlDatabase(server.url);
      await asRoot(
        `CREATE USER careful@'127.0.0.1' IDENTIFIED BY '${PASSWORD}' REQUIRE SSL`,
        "GRANT ALL ON *.* TO careful@'127.0.0.1'",
        `CREATE USER strict@'127.0.0.1' IDENTIFIED BY '${PASSWORD}' REQUIRE X509`,
        "GRANT ALL ON *.* TO strict@'127.0.0.1'",
      );
    }, 60_000);
    afterAll(() => server.remove());

    const withTls = () => [
      ...[`--ssl-cert=${shown.cert}`, `--ssl-key=${shown.key}`],
      `--ssl-ca=${authority.cert}`,
    ];

    const asRoot = async (...statements: string[]) => {
      const connection = await createConnection(server.url);
      for (const statement of statements) await connection.query(statement);
      await connection.end();
    };

    const show = async (certificate: Certificate) => {
      copyFileSync(certificate.cert, shown.cert);
      copyFileSync(certificate.key, shown.key);
      await asRoot('FLUSH SSL');
    };

    const restart = async (options: string[]) => {
      await server.stop('SIGKILL');
      await server.start(options);
    };

    const encrypted = (port = server.port) => ({
      DATABASE_URL: `${database.url.replace(/127\.0\.0\.1:\d+/, `localhost:${port}`)}?ssl-mode=VERIFY_IDENTITY`,
      AUTH_SECRET: MASTER_SECRET,
    });

    /** By a user whom the server lets in over TLS only. */
    const byTheCareful = (url: string) => by('careful', url);

    const by = (user: string, url: string) => {
      const changed = new URL(url);
      [changed.username, changed.password] = [user, PASSWORD];
      return changed.href;
    };

    /** How the start and the operator's command line are refused: they have ways to the database of their own. */
    const refusalsOf = async (settings: Record<string, string>): Promise<string[]> => {
      const attempts = [
        () => startApp(settings, { database }),
        () => openReadOnly(loadConfig(settings).database),
      ];
      const refusals = [];
      for (const attempt of attempts) {
        const error: unknown = await attempt().catch((thrown: unknown) => thrown);
        refusals.push(error instanceof StartError ? error.message : `not refused: ${String(error)}`);
      }
      return refusals;
    };

    it('is not spoken to by a server that has none: nothing falls back to plain text', async () => {
      await restart(['--skip-ssl']);

      const refusals = await refusalsOf({ ...encrypted(), TLS_CA: pemOf(authority) });
      await restart(withTls());

      for (const refusal of refusals) {
        expect(refusal).toMatch(/speaks no TLS, which ssl-mode=VERIFY_IDENTITY in DATABASE_URL asks for/);
      }
    }, 60_000);

    it.each(WRONG)('is not spoken to by a server with a certificate %s', async (kind) => {
      await show(wrong[kind] as Certificate);

      for (const refusal of await refusalsOf({ ...encrypted(), TLS_CA: pemOf(authority) })) {
        expect(refusal).toMatch(/does not prove that it is localhost .* the authority in TLS_CA/);
      }
    });

    it('is not spoken to where its authority has not been named', async () => {
      await show(ours);

      for (const refusal of await refusalsOf(encrypted())) {
        expect(refusal).toMatch(/does not prove that it is localhost/);
      }
    });

    it('says so where the server takes nothing else', async () => {
      const plain = { DATABASE_URL: byTheCareful(database.url), AUTH_SECRET: MASTER_SECRET };
      for (const refusal of await refusalsOf(plain)) {
        expect(refusal).toMatch(
          /refuses user 'careful' .* whether the server wants TLS: \?ssl-mode=VERIFY_IDENTITY/,
        );
      }
    });

    it('lets in, where it asks for a certificate, who has one of an authority that it believes and nobody else', async () => {
      await show(ours);
      const settings = {
        ...encrypted(),
        DATABASE_URL: by('strict', encrypted().DATABASE_URL),
        TLS_CA: pemOf(authority),
      };
      const showing = (certificate: Certificate) => ({
        ...settings,
        ...{ TLS_CERT: pemOf(certificate), TLS_KEY: keyOf(certificate) },
      });

      const refused = [
        ...(await refusalsOf(settings)),
        ...(await refusalsOf(showing(wrong['of another authority'] as Certificate))),
      ];
      const app = await startApp(showing(theirs), {
        database: { ...database, drop: () => database.search() },
      });
      const { id } = await newcomer(app);
      await app.close();

      expect(refused).toHaveLength(4);
      for (const refusal of refused.slice(0, 2)) {
        expect(refusal).toMatch(/refuses user 'strict' .* whether the server wants a certificate: TLS_CERT/);
      }
      for (const refusal of refused.slice(2)) expect(refusal).toMatch(/^The MySQL server at localhost:\d+ /);
      expect(id).toMatch(/^user_/);
    }, 60_000);

    it('serves, and nobody on the way reads a word', async () => {
      await show(ours);
      const way = await TcpProxy.to(server.port);
      const passed: Buffer[] = [];
      way.overhear((chunk) => passed.push(chunk));
      const url = byTheCareful(encrypted(way.port).DATABASE_URL);

      const app: TestApp = await startApp(
        { DATABASE_URL: url, TLS_CA: pemOf(authority) },
        { database: { ...database, drop: () => database.search() } },
      );
      const { username } = await newcomer(app);
      expect(await app.rows("SHOW STATUS LIKE 'Ssl_version'")).toMatchObject([
        { Value: expect.stringMatching(/^TLSv1[.][23]$/) as string },
      ]);
      await app.close();
      await way.close();

      const text = Buffer.concat(passed).toString('latin1');
      expect(text.length).toBeGreaterThan(10_000);
      for (const word of [username, 'INSERT INTO', 'SELECT ', 'users']) expect(text).not.toContain(word);
    }, 60_000);
  });

  describe('Redis', () => {
    let app: TestApp;
    beforeAll(async () => (app = await startApp()));
    afterAll(() => app.close());

    /** Whether an application finds the Redis that shows that certificate, or none. */
    const finds = async (
      certificate?: Certificate,
      { asking = 'no', settings = {} }: { asking?: 'yes' | 'no'; settings?: Record<string, string> } = {},
    ): Promise<boolean> => {
      const tlsPort = await freePort();
      const redis = await RedisServer.create(certificate ? tlsOptions(tlsPort, certificate, asking) : []);
      const port = certificate ? tlsPort : redis.port;
      app.written.length = 0;
      try {
        await app.restart({ REDIS_URL: `rediss://localhost:${port}`, TLS_CA: pemOf(authority), ...settings });
        return !app.written.join('').includes('Redis does not answer as it should');
      } finally {
        await app.restart();
        await redis.remove();
      }
    };

    const tlsOptions = (port: number, { cert, key }: Certificate, asking: 'yes' | 'no') => [
      ...['--tls-port', String(port), '--tls-auth-clients', asking],
      ...['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', authority.cert],
    ];

    it('is believed with a certificate of the authority that is named', async () => {
      expect(await finds(ours)).toBe(true);
    });

    it('is shown the certificate of the service where it asks for one', async () => {
      const settings = { TLS_CERT: pemOf(theirs), TLS_KEY: keyOf(theirs) };

      expect(await finds(ours, { asking: 'yes' })).toBe(false);
      expect(await finds(ours, { asking: 'yes', settings })).toBe(true);
    });

    it('is not spoken to where it has none: nothing falls back to plain text', async () => {
      expect(await finds()).toBe(false);
    });

    it.each(WRONG)('is not spoken to with a certificate %s', async (kind) => {
      expect(await finds(wrong[kind] as Certificate)).toBe(false);
    });
  });
});
