import 'reflect-metadata';
import { DataSource } from 'typeorm';
import { loadConfig } from './src/config/load-config';
import { dataSourceOptions } from './src/database/data-source-options';
import { entities } from './src/entities';

/** For TypeORM's command line: `npm run typeorm -- migration:show`. Reads the same settings as the application. */
async function createDataSource(): Promise<DataSource> {
  const { database } = loadConfig(process.env);
  return new DataSource(await dataSourceOptions(database, entities(database.engine)));
}

export default createDataSource();
