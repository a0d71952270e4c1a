"""Makes a user pool, a client, a group and a user in it at the given endpoint; prints the user's tokens as JSON."""

import json
import sys

import boto3

endpoint, region = sys.argv[1:3]
NAME, PASSWORD = "alice@example.com", "Passw0rd!"
cognito = boto3.client(
    "cognito-idp", endpoint_url=endpoint, region_name=region, aws_access_key_id="testing", aws_secret_access_key="testing"
)

pool = cognito.create_user_pool(PoolName="demo", UsernameAttributes=["email"])["UserPool"]["Id"]
client = cognito.create_user_pool_client(
    UserPoolId=pool, ClientName="web", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
)["UserPoolClient"]["ClientId"]
cognito.create_group(UserPoolId=pool, GroupName="admins")
user = cognito.admin_create_user(
    UserPoolId=pool,
    Username=NAME,
    TemporaryPassword=PASSWORD,
    UserAttributes=[{"Name": "email", "Value": NAME}, {"Name": "email_verified", "Value": "true"}],
    MessageAction="SUPPRESS",
)["User"]["Username"]
cognito.admin_set_user_password(UserPoolId=pool, Username=NAME, Password=PASSWORD, Permanent=True)
cognito.admin_add_user_to_group(UserPoolId=pool, Username=user, GroupName="admins")
tokens = cognito.initiate_auth(
    ClientId=client, AuthFlow="USER_PASSWORD_AUTH", AuthParameters={"USERNAME": NAME, "PASSWORD": PASSWORD}
)["AuthenticationResult"]
json.dump({"pool": pool, "client": client, "id": tokens["IdToken"], "access": tokens["AccessToken"]}, sys.stdout)
