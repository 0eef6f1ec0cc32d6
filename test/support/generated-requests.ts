import type { MediaTypeObject, ParameterObject, SchemaObject } from '@nestjs/swagger';
import fc from 'fast-check';
import { type DocumentedOperation, openApiDocument } from './contract';

/** A request made up from the document. */
export interface GeneratedRequest {
  /** What is wrong with it; nothing, if it is as the document wants it. */
  fault?: string;
  query: string;
  headers: Record<string, string>;
  /** Values of the path's parameters. */
  parameters: Record<string, string>;
  /** Whose is what the request is about, if that is to be there: it takes the place of the path's parameters. */
  about?: 'own' | 'foreign';
  /** The text of the body, if there is one. */
  body?: string;
  contentType?: string;
  /** Whether the answer is to come as problem details. */
  problem: boolean;
  credential: 'session' | 'key' | 'none' | 'garbage' | 'both';
}

type Members = Record<string, unknown>;

const schemas = openApiDocument.components?.schemas as Record<string, SchemaObject>;

function resolve(schema: SchemaObject | { $ref: string }): SchemaObject {
  return '$ref' in schema
    ? (schemas[schema.$ref.slice('#/components/schemas/'.length)] as SchemaObject)
    : schema;
}

/** The schema of an operation's body. */
export function bodySchema({ operation }: DocumentedOperation): SchemaObject | undefined {
  const body = operation.requestBody as { content: Record<string, MediaTypeObject> } | undefined;
  const schema = body?.content['application/json']?.schema;
  return schema && resolve(schema);
}

/** The types that a value may have; one that may be null as well has two. */
const typesOf = ({ type }: SchemaObject): string[] => [type ?? []].flat();

const anyText = (least: number, most: number) =>
  fc
    .oneof(
      { weight: 3, arbitrary: fc.string({ minLength: least, maxLength: Math.min(most, least + 60) }) },
      {
        weight: 2,
        arbitrary: fc.string({ unit: 'grapheme', minLength: least, maxLength: Math.min(most, least + 20) }),
      },
      { weight: 1, arbitrary: fc.string({ minLength: most, maxLength: most }) },
    )
    .filter((text) => [...text].length >= least && [...text].length <= most);

const address = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })).map(([ip, bits]) => `${ip}/${bits}`),
);

/** Of fast-check, whole or in part. One that is a password as well as a name would be found where names are stored. */
const FAVOURITES = Object.getOwnPropertyNames(Object.prototype);

/** Values that the document allows. Where it allows more than the service does, those that both do. */
function validValue(name: string, schema: SchemaObject): fc.Arbitrary<unknown> {
  const types = typesOf(schema);
  if (types.includes('null')) {
    const [type = ''] = types.filter((one) => one !== 'null');
    return fc.option(validValue(name, { ...schema, type }));
  }
  if (schema.enum) return fc.constantFrom(...(schema.enum as unknown[]));
  if (types.includes('boolean')) return fc.boolean();
  if (types.includes('integer'))
    return fc.integer({ min: schema.minimum ?? 0, max: schema.maximum ?? 2 ** 31 });
  if (name === 'ip') return fc.oneof(fc.ipV4(), fc.ipV6());
  if (types.includes('array')) {
    const entry = name === 'allowedIps' ? address : validValue(name, resolve(schema.items ?? {}));
    return fc.uniqueArray(entry, {
      minLength: schema.minItems ?? 0,
      maxLength: schema.maxItems ?? 20,
      size: 'max',
    });
  }
  if (schema.format === 'email') return fc.emailAddress();
  if (schema.format === 'date-time') {
    const [min, max] = [new Date('2100-01-01'), new Date('9999-12-31')];
    return fc.date({ min, max, noInvalidDate: true }).map((date) => date.toISOString());
  }
  const [least, most] = [schema.minLength ?? 0, schema.maxLength ?? 500];
  if (schema.pattern) {
    return fc
      .stringMatching(new RegExp(schema.pattern), { size: '+1' })
      .filter((text) => text.length >= least && text.length <= most);
  }
  // A least length that is a setting, and names that must have something to see in them.
  const isPassword = schema.format === 'password';
  return anyText(isPassword ? 8 : least, most)
    .filter((text) => !isPassword || !FAVOURITES.some((word) => word.includes(text)))
    .filter((text) => name !== 'name' || (/\S/u.test(text) && !/\p{Cc}/u.test(text)));
}

/** Whether there is a text that the document forbids. */
function forbidsText({ type, maxLength, minLength, pattern, format, enum: values }: SchemaObject): boolean {
  return (
    type !== 'string' || [maxLength, minLength, pattern, format, values].some((rule) => rule !== undefined)
  );
}

/** Values that the document forbids, each with why. */
function invalidValue(schema: SchemaObject): fc.Arbitrary<[why: string, value: unknown]> {
  const types = typesOf(schema);
  const wrongTypes: unknown[] = [null, 0, -1, 1.5, true, 'text', [], {}, [null], { a: 1 }].filter((value) => {
    const type = Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value;
    if (types.includes('integer') && Number.isInteger(value)) return false;
    return !types.includes(type);
  });
  const faults: fc.Arbitrary<[string, unknown]>[] = [
    fc.constantFrom(...wrongTypes).map((value): [string, unknown] => ['type', value]),
  ];
  const { maxLength, minLength, pattern, items, minimum, maximum } = schema;
  if (minimum !== undefined) faults.push(fc.integer({ max: minimum - 1 }).map((value) => ['minimum', value]));
  if (maximum !== undefined) faults.push(fc.integer({ min: maximum + 1 }).map((value) => ['maximum', value]));
  if (maxLength !== undefined) {
    faults.push(fc.integer({ min: 1, max: 2000 }).map((more) => ['maxLength', 'a'.repeat(maxLength + more)]));
  }
  if (minLength) faults.push(fc.string({ maxLength: minLength - 1 }).map((text) => ['minLength', text]));
  if (pattern) {
    faults.push(
      fc
        .string({ unit: 'grapheme', minLength: 1 })
        .filter((text) => !new RegExp(pattern).test(text))
        .map((text) => ['pattern', text]),
    );
  }
  if (schema.format === 'email')
    faults.push(
      fc
        .string()
        .filter((text) => !text.includes('@'))
        .map((text) => ['format', text]),
    );
  if (schema.format === 'date-time') faults.push(fc.string().map((text) => ['format', `x${text}`]));
  if (schema.enum)
    faults.push(
      fc
        .string()
        .filter((text) => !schema.enum?.includes(text))
        .map((text) => ['enum', text]),
    );
  if (types.includes('array')) {
    faults.push(fc.constant(['minItems', []]));
    faults.push(
      fc.constant(['maxItems', Array.from({ length: (schema.maxItems ?? 0) + 1 }, (_, n) => `a:${n}`)]),
    );
    faults.push(fc.constant(['uniqueItems', ['users:read', 'users:read']]));
    faults.push(invalidValue(resolve(items ?? {})).map(([why, value]) => [`items ${why}`, [value]]));
  }
  return fc.oneof(...faults);
}

function validMembers(schema: SchemaObject): fc.Arbitrary<Members> {
  const properties = Object.entries(schema.properties ?? {}).map(
    ([name, property]) => [name, validValue(name, resolve(property))] as const,
  );
  return fc.record(Object.fromEntries(properties), { requiredKeys: schema.required ?? [] });
}

/** A body with exactly one fault. */
function invalidMembers(schema: SchemaObject): fc.Arbitrary<[why: string, body: unknown]> {
  const names = Object.keys(schema.properties ?? {});
  const known = [...names, ...Object.getOwnPropertyNames(Object.prototype)];
  return validMembers(schema).chain((members) => {
    const faults: fc.Arbitrary<[string, unknown]>[] = [
      ...names.map((name) =>
        invalidValue(resolve(schema.properties?.[name] ?? {})).map(([why, value]): [string, unknown] => [
          `${name}: ${why}`,
          { ...members, [name]: value },
        ]),
      ),
      ...(schema.required ?? []).map((name) => {
        const { [name]: _, ...rest } = members;
        return fc.constant<[string, unknown]>([`${name}: required`, rest]);
      }),
      fc
        .tuple(fc.string(), fc.jsonValue({ maxDepth: 3 }))
        .filter(([name]) => !known.includes(name))
        .map(([name, value]): [string, unknown] => ['unknown field', { ...members, [name]: value }]),
      fc
        .constantFrom<unknown>([], [members], 'text', 1, true, null)
        .map((value): [string, unknown] => ['not an object', value]),
    ];
    return fc.oneof(...faults);
  });
}

const pathText = fc
  .oneof(
    fc.string({ minLength: 1, maxLength: 80 }),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
    fc.constantFrom(
      'key_01kapv8s6pefr8y0h5b2e9mwkd',
      'sess_01kapv8s6pefr8y0h5b2e9mwkd',
      "' OR 1=1 --",
      '0',
      'null',
      '\0',
    ),
  )
  .filter((text) => text.isWellFormed() && text !== '.' && text !== '..');

type Part = Partial<GeneratedRequest> & { fault?: string };

/** Requests for an operation: most are as the document wants them, or have one fault. */
export function requestsFor(of: DocumentedOperation): fc.Arbitrary<GeneratedRequest> {
  const schema = bodySchema(of);
  const parameters = (of.operation.parameters ?? []) as ParameterObject[];
  const accepted = (of.operation.security ?? []).flatMap((scheme) => Object.keys(scheme));
  const closed = accepted.length > 0;
  const takesSessions = accepted.includes('bearer');
  const good: fc.Arbitrary<Part> = fc.record({
    ...(schema && { body: validMembers(schema).map((members) => JSON.stringify(members)) }),
    query: goodQuery(parameters),
    headers: goodHeaders(parameters),
  });
  const faults = [
    ...(schema ? bodyFaults(schema) : []),
    // Asked about somebody else's request, as a proxy does, an operation refuses nothing for its form.
    ...('400' in of.operation.responses ? parameterFaults(parameters) : []),
    ...(closed
      ? [
          fc.constantFrom<Part>(
            { fault: 'credential', credential: 'none' },
            { fault: 'credential', credential: 'garbage' },
            { fault: 'credential', credential: 'both' },
            ...(takesSessions ? [] : [{ fault: 'credential', credential: 'session' } as const]),
          ),
        ]
      : []),
  ];
  const fault =
    faults.length > 0
      ? fc.oneof(
          { weight: 1, arbitrary: fc.constant<Part>({}) },
          // Where there is something to be found, there must be requests that find it.
          {
            weight: of.path.includes('{') || accepted.join() === 'apiKey' ? 1 : 2,
            arbitrary: fc.oneof(...faults),
          },
        )
      : fc.constant<Part>({});
  const ids = parameters
    .filter((parameter) => parameter.in === 'path')
    .map(({ name }) => [name, pathText] as const);
  return fc
    .record({
      good,
      fault,
      problem: fc.boolean(),
      ids: fc.record(Object.fromEntries(ids)),
      about: fc.constantFrom('own', 'own', 'own', 'foreign', undefined),
    })
    .map(({ good: sound, fault: broken, problem, ids: values, about }): GeneratedRequest => ({
      query: '',
      credential: closed ? (takesSessions ? 'session' : 'key') : 'none',
      parameters: values,
      ...(about && { about }),
      problem,
      ...(schema && { contentType: 'application/json' }),
      ...sound,
      ...broken,
      headers: { ...sound.headers, ...broken.headers },
    }));
}

function goodQuery(parameters: ParameterObject[]): fc.Arbitrary<string> {
  const known = parameters
    .filter((parameter) => parameter.in === 'query')
    .map(({ name, schema }) => [name, validValue(name, resolve(schema ?? {}))] as const);
  return fc
    .record(Object.fromEntries(known), { requiredKeys: [] })
    .map((values) => new URLSearchParams(values as Record<string, string>).toString());
}

function goodHeaders(parameters: ParameterObject[]): fc.Arbitrary<Record<string, string>> {
  const known = parameters
    .filter((parameter) => parameter.in === 'header')
    .map(({ name, schema }) => [name, validValue(name, resolve(schema ?? {}))] as const);
  return fc.record(Object.fromEntries(known), { requiredKeys: [] }) as fc.Arbitrary<Record<string, string>>;
}

function bodyFaults(schema: SchemaObject): fc.Arbitrary<Part>[] {
  const text = validMembers(schema).map((members) => JSON.stringify(members));
  return [
    invalidMembers(schema).map(([fault, body]) => ({ fault, body: JSON.stringify(body) })),
    invalidMembers(schema).map(([fault, body]) => ({ fault, body: JSON.stringify(body) })),
    text.chain((whole) =>
      fc
        .integer({ min: 1, max: whole.length - 1 })
        .map((end) => ({ fault: 'cut short', body: whole.slice(0, end) })),
    ),
    fc
      .string({ minLength: 1 })
      .filter((garbage) => !isJson(garbage))
      .map((body) => ({ fault: 'no JSON', body })),
    fc
      .tuple(
        text,
        fc.constantFrom(
          'text/plain',
          'application/xml',
          'application/x-www-form-urlencoded',
          'application/json-seq',
        ),
      )
      .map(([body, contentType]) => ({ fault: 'media type', body, contentType })),
    fc
      .integer({ min: 9, max: 3000 })
      .map((levels) => ({ fault: 'too deep', body: '['.repeat(levels) + ']'.repeat(levels) })),
    fc
      .integer({ min: 1, max: 4 })
      .map((more) => ({ fault: 'too large', body: JSON.stringify('x'.repeat(64 * 1024 + more)) })),
  ];
}

function parameterFaults(parameters: ParameterObject[]): fc.Arbitrary<Part>[] {
  const query = parameters.filter((parameter) => parameter.in === 'query');
  const headers = parameters.filter((parameter) => parameter.in === 'header');
  return [
    ...query
      .filter(({ schema }) => forbidsText(resolve(schema ?? {})))
      .map(({ name, schema }) =>
        invalidValue(resolve(schema ?? {}))
          .filter(([, value]) => typeof value === 'string')
          .map(([why, value]): Part => ({
            fault: `${name}: ${why}`,
            query: new URLSearchParams({ [name]: value as string }).toString(),
          })),
      ),
    ...(query.length > 0
      ? [
          fc
            .string({ minLength: 1 })
            .filter((name) => name.isWellFormed() && !query.some((known) => known.name === name))
            .map((name): Part => ({
              fault: 'unknown parameter',
              query: new URLSearchParams({ [name]: 'x' }).toString(),
            })),
        ]
      : []),
    ...headers.map(({ name }) =>
      fc
        .oneof(
          fc.stringMatching(/^[!-~]{1,15}$/),
          fc.stringMatching(/^[!-~]{129,300}$/),
          fc.stringMatching(/^[!-~]{8,20} [!-~]{8,20}$/),
          fc.stringMatching(/^[¡-ÿ]{16,40}$/),
        )
        .map((value): Part => ({ fault: `${name}: form`, headers: { [name]: value } })),
    ),
  ];
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
