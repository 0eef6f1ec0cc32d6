import { Module } from '@nestjs/common';
import { UserDirectory } from './user-directory';
import { UserImport } from './user-import';
import { UsersController } from './users.controller';
import { UsersService } from './users.service';

@Module({
  controllers: [UsersController],
  providers: [UsersService, UserDirectory, UserImport],
  exports: [UsersService],
})
export class UsersModule {}
