// Keeps every edition of an article: called with the records of the table's stream. A record that comes twice is the same item.
import { dynamodb } from "../../dynamodb.mjs";

export async function handler({ Records }) {
  for (const { eventName, dynamodb: change } of Records) {
    const { section, slug } = change.Keys;
    const Item = {
      article: { S: `${section.S}/${slug.S}` },
      // Numbers of a stream ascend; padded, so does their text.
      at: { S: change.SequenceNumber.padStart(40, "0") },
      what: { S: eventName },
      title: change.NewImage?.title ?? { S: "" },
      text: change.NewImage?.text ?? { S: "" },
    };
    await dynamodb("PutItem", { TableName: "editions", Item });
  }
}
