import { Redis } from 'ioredis';
import type { Config } from '../config/config';
import { redisAddress } from '../redis/redis-address';
import { type Finding, ok, warn } from './findings';

const TIMEOUT_MS = 2_000;

/** Whether Redis answers, where one is configured. Nothing rests on it, so its absence is never a failure. */
export async function examineRedis({ redisUrl, tlsAuthorities }: Config): Promise<Finding[]> {
  if (redisUrl === undefined) return [ok('redis', 'None is configured.')];
  const [url, tls] = redisAddress(redisUrl, tlsAuthorities);
  const redis = new Redis(url, {
    ...tls,
    ...{ lazyConnect: true, connectTimeout: TIMEOUT_MS, commandTimeout: TIMEOUT_MS },
    ...{ maxRetriesPerRequest: 0, retryStrategy: () => null },
  });
  // Told below, where it is asked for.
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    await redis.ping();
    return [ok('redis', 'It answers.')];
  } catch (error) {
    const message = `It cannot be reached (${(error as Error).message}): instances learn of revocations a second later, and each counts limits for itself.`;
    return [warn('redis', message, 'REDIS_URL')];
  } finally {
    redis.disconnect();
  }
}
