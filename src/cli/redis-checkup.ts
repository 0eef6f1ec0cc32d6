import { Redis } from 'ioredis';
import type { Config } from '../config/config';
import { redisAddress } from '../redis/redis-address';
import { type Finding, ok, warn } from './findings';

const TIMEOUT_MS = 2_000;

/** Whether Redis answers and keeps its counts, where one is configured. Nothing rests on it, so its absence is never a failure. */
export async function examineRedis({ redisUrl, tls }: Config): Promise<Finding[]> {
  if (redisUrl === undefined) return [ok('redis', 'None is configured.')];
  const [url, options] = redisAddress(redisUrl, tls);
  const redis = new Redis(url, {
    ...options,
    ...{ lazyConnect: true, connectTimeout: TIMEOUT_MS, commandTimeout: TIMEOUT_MS },
    ...{ maxRetriesPerRequest: 0, retryStrategy: () => null },
  });
  // Told below, where it is asked for.
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    await redis.ping();
    return [ok('redis', 'It answers.'), ...memoryFindings(await redis.info('memory'))];
  } catch (error) {
    const message = `It cannot be reached (${(error as Error).message}): instances learn of revocations a second later, and each counts limits for itself.`;
    return [warn('redis', message, 'REDIS_URL')];
  } finally {
    redis.disconnect();
  }
}

/** What is wrong with how much memory it may take, and with what it does when it has taken that. */
function memoryFindings(info: string): Finding[] {
  const told = (name: string) =>
    info
      .split('\r\n')
      .find((line) => line.startsWith(`${name}:`))
      ?.slice(name.length + 1);
  const findings: Finding[] = [];
  if (told('maxmemory') === '0') {
    const message =
      'It may take all memory there is (maxmemory 0), and whoever has many addresses fills it with counters. Set its maxmemory.';
    findings.push(warn('redis', message));
  }
  const policy = told('maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction') {
    const message = `When it is full it forgets counts (maxmemory-policy ${policy}), and with them who has used up a limit. Set its maxmemory-policy to noeviction.`;
    findings.push(warn('redis', message));
  }
  return findings;
}
