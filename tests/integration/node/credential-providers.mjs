// One credential provider, by the name it is exported under: what it finds signs a request.
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import * as providers from "@aws-sdk/credential-providers";

const credentials = await providers[process.argv[2]]()();
const identity = await new STSClient({ credentials }).send(new GetCallerIdentityCommand({}));
console.log(JSON.stringify({ Arn: identity.Arn, AccessKeyId: credentials.accessKeyId }));
