import { Body, Controller, Delete, HttpCode, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { CallOrigin, CurrentPrincipal, SessionOnly } from '../access/decorators';
import type { Principal } from '../access/principal';
import type { Origin } from '../core/origin';
import { ApiErrors } from '../openapi/api-errors.decorator';
import { ApiSuccess } from '../openapi/api-success.decorator';
import { ChangesAccount } from '../rate-limit/rate-limited.decorator';
import { ChangePasswordRequest, DeleteAccountRequest } from './account.dto';
import { AccountService } from './account.service';

@ApiTags('Users')
@Controller('users/me')
@SessionOnly()
export class AccountController {
  constructor(private readonly account: AccountService) {}

  /**
   * Change the password
   *
   * @remarks Every other session of the account ends; this one goes on. API keys stay unless `revokeKeys` is true.
   */
  @ApiSuccess('The new password holds, and every other session has ended.')
  @Post('password')
  @HttpCode(204)
  @ChangesAccount()
  @ApiErrors('current_password_wrong', 'rate_limited', 'overloaded')
  async changePassword(
    @CurrentPrincipal() principal: Principal,
    @Body() request: ChangePasswordRequest,
    @CallOrigin() origin: Origin,
  ): Promise<void> {
    await this.account.changePassword(principal, request, origin);
  }

  /**
   * Delete the account
   *
   * @remarks Sessions and API keys end with it. The user name and the e-mail address become free.
   */
  @ApiSuccess('The account is gone, with its sessions and keys.')
  @Delete()
  @HttpCode(204)
  @ChangesAccount()
  @ApiErrors('current_password_wrong', 'rate_limited', 'overloaded')
  async deleteAccount(
    @CurrentPrincipal() principal: Principal,
    @Body() { password }: DeleteAccountRequest,
    @CallOrigin() origin: Origin,
  ): Promise<void> {
    await this.account.delete(principal, password, origin);
  }
}
