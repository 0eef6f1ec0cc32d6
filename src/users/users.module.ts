import { Module } from '@nestjs/common';
import { AccountPasswords } from './account-passwords';
import { UserDirectory } from './user-directory';
import { UserImport } from './user-import';
import { UsersController } from './users.controller';
import { UsersService } from './users.service';

@Module({
  controllers: [UsersController],
  providers: [UsersService, AccountPasswords, UserDirectory, UserImport],
  exports: [UsersService, AccountPasswords],
})
export class UsersModule {}
