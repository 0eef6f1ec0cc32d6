import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isSafe } from 'redos-detector';
import ts from 'typescript';

const root = join(__dirname, '..');
const src = join(root, 'src');
const security = readFileSync(join(root, 'docs', 'security.md'), 'utf8');

/** Everything that runs, what runs in threads included. */
const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.(ts|js)$/.test(name) && !name.endsWith('.spec.ts'))
  .sort()
  .map((name) => {
    const text = readFileSync(join(src, name), 'utf8');
    return { name, text, tree: ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true) };
  });

/** Every node of every file for which `wanted` has an answer. */
function collect<T>(wanted: (node: ts.Node, file: string) => T | undefined): T[] {
  return files.flatMap(({ name, tree }) => {
    const found: T[] = [];
    const visit = (node: ts.Node): void => {
      const one = wanted(node, name);
      if (one !== undefined) found.push(one);
      ts.forEachChild(node, visit);
    };
    visit(tree);
    return found;
  });
}

/** The name of what is called or constructed, without what it hangs on. */
const calledName = (node: ts.Node): string | undefined => {
  if (!ts.isCallExpression(node) && !ts.isNewExpression(node)) return undefined;
  const { expression } = node;
  return ts.isPropertyAccessExpression(expression) ? expression.name.text : expression.getText();
};

describe('the source', () => {
  it('makes no code out of text and starts no program', () => {
    const dangerous = [
      'eval',
      'Function',
      'runInThisContext',
      'runInContext',
      'runInNewContext',
      'compileFunction',
    ];
    const called = collect((node, file) =>
      dangerous.includes(calledName(node) ?? '') ? `${file}: ${node.getText()}` : undefined,
    );
    const modules = ['vm', 'child_process', 'cluster', 'repl', 'inspector', 'v8'];
    const loaded = files.filter(({ text }) =>
      modules.some((name) => new RegExp(`['"](node:)?${name}(/\\w+)?['"]`).test(text)),
    );
    const timers = collect((node, file) =>
      ['setTimeout', 'setInterval'].includes(calledName(node) ?? '') &&
      ts.isStringLiteralLike((node as ts.CallExpression).arguments[0] as ts.Node)
        ? `${file}: ${node.getText()}`
        : undefined,
    );

    expect([called, loaded.map(({ name }) => name), timers]).toEqual([[], [], []]);
  });

  it('puts nothing that comes from outside into a regular expression', () => {
    const built = collect((node, file) =>
      calledName(node) === 'RegExp' ? `${file}: ${node.getText()}` : undefined,
    );

    // A constant, which is also published.
    expect(built).toEqual(["cli/key-finder.ts: new RegExp(API_KEY_PATTERN, 'g')"]);
  });

  it('puts values into SQL as parameters only', () => {
    const templates = collect((node, file) =>
      ts.isTemplateExpression(node) && /^`\s*(SELECT|INSERT|UPDATE|DELETE)\b/i.test(node.getText())
        ? `${file}: ${node.templateSpans.map(({ expression }) => expression.getText()).join(', ')}`
        : undefined,
    );
    const concatenated = collect((node, file) =>
      ts.isBinaryExpression(node) &&
      node.operatorToken.kind === ts.SyntaxKind.PlusToken &&
      /^['"`]\s*(SELECT|INSERT|UPDATE|DELETE)\b/i.test(node.left.getText())
        ? `${file}: ${node.getText()}`
        : undefined,
    );

    // Names of tables and columns, lists of `?`, a number: constants of the source, each of them.
    expect([...new Set(templates)]).toEqual([
      'api-keys/key-facts.ts: FACTS',
      'api-keys/key-facts.ts: FACTS, places',
      "api-keys/operator-keys.ts: userId === undefined ? '' : 'AND k.user_id = ?'",
      'audit/chained-events.ts: COLUMNS',
      'audit/chained-events.ts: COLUMNS, UNSEALED[which]',
      "audit/chained-events.ts: [...missing].map(() => '?').join(', ')",
      'audit/chained-events.ts: BLANK',
      "audit/event-history.ts: userIds.map(() => '?').join(', ')",
      'audit/trail-state.ts: CHAIN',
      // A constant, or the number of an event.
      'audit/trail-state.ts: condition',
      'audit/trail-state.ts: COLUMNS',
      'cli/database-checkup.ts: MYSQL_READ_ONLY',
      'cli/database-checkup.ts: table',
      "database/last-uses.ts: table, moments, older.join(' OR ')",
      'database/migrate.ts: LOCK_NAME',
      'database/row-cleanup.ts: key, table, column, column, BATCH_SIZE',
      'database/row-cleanup.ts: table, key, places, column',
      // As the entities name them.
      'database/rows.ts: tableName, names, parameters',
      'database/rows.ts: shape.names, tableName, column',
      'database/sql.ts: timeOf(tx)',
      'rate-limit/counter-keeper.ts: MOST_COUNTERS',
      "rate-limit/counter-keeper.ts: places, elseAdd(tx, 'id', 'points')",
      'revocation/revocation-lines.ts: readOnlyOf(tx), timeOf(tx)',
      'revocation/revocation-lines.ts: PAGE_SIZE',
      'revocation/revocation-lines.ts: readOnlyOf(tx)',
      'sessions/operator-sessions.ts: ACCOUNTS_PER_PAGE',
      "sessions/operator-sessions.ts: owners.map(() => '?').join(', ')",
      "sessions/operator-sessions.ts: userId === undefined ? '' : 'AND s.user_id = ?'",
      'sessions/session-rotation.ts: RAISE_ACCESS_END',
    ]);
    expect(concatenated).toEqual([]);
  });

  /** Alternatives without repetition, which are tried from each place of a secret in the settings and no other text. */
  const NOT_JUDGED = ['config/secret-strength.ts'];

  /** Of the operator's own settings only: whoever writes these need not keep the service busy to do harm. */
  const OF_SETTINGS = ['cli/settings-checkup.ts /\\/0+$/', 'config/setting-formats.ts /\\/+$/'];

  const expressions = collect((node, file): [string, string, RegExp] | undefined => {
    if (!ts.isRegularExpressionLiteral(node)) return undefined;
    const end = node.text.lastIndexOf('/');
    return [file, node.text, new RegExp(node.text.slice(1, end), node.text.slice(end + 1))];
  }).filter(([file, text]) => !NOT_JUDGED.includes(file) && !OF_SETTINGS.includes(`${file} ${text}`));

  it.each([...new Map(expressions.map((one) => [one.slice(0, 2).join(' '), one])).values()])(
    'has no regular expression that a text can keep busy: %s %s',
    (_, __, expression) => {
      expect(isSafe(expression, { maxScore: 100, timeout: 20_000 })).toMatchObject({
        safe: true,
        error: null,
      });
    },
    30_000,
  );

  it('leaves only expressions without repetition unjudged', () => {
    const unjudged = collect((node, file) =>
      ts.isRegularExpressionLiteral(node) && NOT_JUDGED.includes(file) ? node.text : undefined,
    );

    expect(expressions.length).toBeGreaterThan(30);
    expect(unjudged.filter((text) => /[*+{]/.test(text))).toEqual([]);
  });

  it('looks through each of its expressions in no time, whatever is sent', () => {
    const texts = ['a', '0', '-', '%', '[', ']', '\\', '.', ' ', '$', '1.', 'ab1', 'é', '0a-'].flatMap(
      (unit) => [unit.repeat(100_000 / unit.length), `[${unit.repeat(50_000 / unit.length)}!`],
    );
    let longest: [number, string] = [0, ''];
    for (const [file, text, expression] of expressions) {
      for (const probe of texts) {
        const begun = performance.now();
        probe.replace(new RegExp(expression.source, expression.flags.replace('g', '')), '');
        const milliseconds = performance.now() - begun;
        if (milliseconds > longest[0]) longest = [milliseconds, `${file} ${text} on ${probe.slice(0, 5)}…`];
      }
    }

    // A body may hold 64 KiB. Alone this takes less than 20 ms; the machine may be busy.
    expect(longest[0]).toBeLessThan(200);
  });

  it('uses the algorithms that are listed in docs/security.md, where they are listed, and no others', () => {
    const used = new Map<string, Set<string>>();
    const use = (algorithm: string, file: string) =>
      used.set(algorithm, (used.get(algorithm) ?? new Set()).add(file));
    const argument = (node: ts.Node, index: number) =>
      (node as ts.CallExpression).arguments[index]?.getText().replace(/'/g, '') ?? '';
    const upper = (digest: string) => digest.toUpperCase().replace('SHA', 'SHA-');
    collect((node, file) => {
      const name = calledName(node);
      if (name === 'createHash') use(upper(argument(node, 0)), file);
      // Ours of that name hash passwords.
      if (name === 'hash' && /^sha/.test(argument(node, 0))) use(upper(argument(node, 0)), file);
      if (name === 'createHmac') use(`HMAC-${upper(argument(node, 0))}`, file);
      if (name === 'hkdfSync') use(`HKDF-${upper(argument(node, 0))}`, file);
      if (name === 'scryptSync') use('scrypt', file);
      if (name === 'pbkdf2Sync') use('PBKDF2', file);
      if (name === 'randomBytes') use('the random generator of OpenSSL', file);
      if (name === 'crc32') use('CRC-32', file);
      if (name === 'require' && argument(node, 0) === '@node-rs/argon2') use('Argon2id', file);
      if (name === 'require' && argument(node, 0) === '@node-rs/bcrypt') use('bcrypt', file);
      if (ts.isPropertyAssignment(node) && /^'?algorithms?'?$/.test(node.name.getText()))
        if (/HS\d|RS|ES|EdDSA|none/.test(node.initializer.getText()))
          use(node.initializer.getText().replace(/[[\]']/g, ''), file);
      return undefined;
    });

    const listed = [...security.matchAll(/^\| (.+?) +\| (`[\w/., `-]+\.(?:ts|js)`) +\| .+ \|$/gm)].map(
      ([, algorithm, where = '']) => [algorithm, [...where.matchAll(/`([^`]+)`/g)].map(([, file]) => file)],
    );
    expect(listed.length).toBeGreaterThan(8);
    expect(Object.fromEntries(listed)).toEqual(
      Object.fromEntries([...used].map(([algorithm, where]) => [algorithm, [...where]])),
    );
  });

  it('takes its cryptography from Node and two bindings, and only what it names', () => {
    const allowed = [
      ...[
        'createHash',
        'hash',
        'createHmac',
        'createSecretKey',
        'hkdfSync',
        'KeyObject',
        'pbkdf2Sync',
        'randomBytes',
        'X509Certificate',
        'createPrivateKey',
      ],
      ...['scryptSync', 'timingSafeEqual'],
    ];
    const named = files.flatMap(({ name, text }) =>
      [...text.matchAll(/\{([^{}]*)\}(?: from|\s*= require\()\s*'node:crypto'/g)].flatMap(([, list = '']) =>
        list.split(',').map((one) => [name, one.replace('type ', '').trim()]),
      ),
    );
    const importing = files
      .filter(({ text }) => /(from|require\() ?'(node:)?crypto'/.test(text))
      .map(({ name }) => name);

    expect(named.filter(([, one]) => !allowed.includes(one as string))).toEqual([]);
    expect([...new Set(named.map(([name]) => name))]).toEqual(importing);
    const others = files.filter(({ text }) =>
      /'(crypto-js|bcryptjs|jose|node-forge|tweetnacl|sjcl|md5)'/.test(text),
    );
    expect(others.map(({ name }) => name)).toEqual([]);
  });

  it('compares digests and MACs in constant time', () => {
    const making = files.filter(({ text }) => /createHmac|pbkdf2Sync|scryptSync/.test(text));
    const careless = collect((node, file) =>
      ts.isBinaryExpression(node) &&
      [ts.SyntaxKind.EqualsEqualsEqualsToken, ts.SyntaxKind.ExclamationEqualsEqualsToken].includes(
        node.operatorToken.kind,
      ) &&
      [node.left, node.right].every((side) =>
        /digest|hash|mac|signature|mark|link|nonce/i.test(side.getText()),
      )
        ? `${file}: ${node.getText()}`
        : undefined,
    );

    expect(making.length).toBeGreaterThan(4);
    expect(
      making.filter(({ text }) => !/timingSafeEqual|sameDigest/.test(text)).map(({ name }) => name),
    ).toEqual([]);
    // Of an operator's commands, which compare rows with what he has himself: a head, the hashes of a table that is imported.
    expect(careless).toEqual([
      'audit/event-seal.ts: known.link !== head.link',
      'users/user-import.ts: user.passwordHash !== imported.passwordHash',
      'users/user-import.ts: user.passwordHash === passwordHash',
    ]);
  });
});
