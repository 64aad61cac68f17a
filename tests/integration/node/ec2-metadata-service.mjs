// What the metadata service answers at each path: the text, or the status that the client tells.
import { MetadataService } from "@aws-sdk/ec2-metadata-service";

const service = new MetadataService({});
const answers = {};
for (const path of process.argv.slice(2)) {
  try {
    answers[path] = await service.request(path, {});
  } catch (error) {
    answers[path] = error.$metadata.httpStatusCode;
  }
}
console.log(JSON.stringify(answers));
