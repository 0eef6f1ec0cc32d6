import { type DynamicModule, Injectable, Module, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Transactions } from './transactions';

/** Closes the database last: the hooks of whatever depends on this module run before. */
@Injectable()
class DatabaseShutdown implements OnApplicationShutdown {
  constructor(private readonly dataSource: DataSource) {}

  async onApplicationShutdown(): Promise<void> {
    await this.dataSource.destroy();
  }
}

@Module({})
export class DatabaseModule {
  /** @param dataSource opened and migrated; closed with the application */
  static forRoot(dataSource: DataSource): DynamicModule {
    return {
      module: DatabaseModule,
      global: true,
      providers: [{ provide: DataSource, useValue: dataSource }, Transactions, DatabaseShutdown],
      exports: [Transactions],
    };
  }
}
