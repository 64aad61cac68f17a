// An STS client that is told nothing: its default chain finds the credentials.
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

const identity = await new STSClient({}).send(new GetCallerIdentityCommand({}));
console.log(JSON.stringify({ Arn: identity.Arn }));
