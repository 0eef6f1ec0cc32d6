import { relative } from 'node:path';
import { BASE_PATH } from './app';
import type { Config } from './config/config';
import { readVersion } from './config/version';

/** What a person reads who has just started the service. */
export function banner(address: string, config: Config): string {
  const { database } = config;
  const data =
    database.engine === 'sqlite'
      ? relative('', database.file)
      : `${database.database} on ${database.host}:${database.port}`;
  const lines = [
    ['API', `${address}/${BASE_PATH}`],
    ...(config.apiDocs ? [['Docs', `${address}/docs`]] : []),
    ['Health', `${address}/health/ready`],
    ['Data', data],
  ];
  return [
    '',
    `Latchkey ${readVersion()} is ready.`,
    ...lines.map(([name, value]) => `  ${name?.padEnd(7)} ${value}`),
    'Press Ctrl+C to stop.',
    '',
    '',
  ].join('\n');
}
