import { Module } from '@nestjs/common';
import { PasswordPolicy } from './password-policy';
import { UsersController } from './users.controller';
import { UsersService } from './users.service';

@Module({
  controllers: [UsersController],
  providers: [UsersService, PasswordPolicy],
  exports: [UsersService],
})
export class UsersModule {}
