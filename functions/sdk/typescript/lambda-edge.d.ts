/** Lambda@Edge events and results, for functions in TypeScript. Types only: nothing of this is in what runs. */

/** `key` keeps the spelling of the wire; the name under which it lies is lower case. */
export interface HeaderValue {
  key?: string;
  value: string;
}

export type Headers = Record<string, HeaderValue[]>;

export interface CustomOrigin {
  customHeaders: Headers;
  domainName: string;
  keepaliveTimeout: number;
  path: string;
  port: number;
  protocol: "http" | "https";
  readTimeout: number;
  sslProtocols: string[];
}

export interface S3Origin {
  authMethod: "none" | "origin-access-identity";
  customHeaders: Headers;
  domainName: string;
  path: string;
  region: string;
}

export interface Body {
  /** There is more than `data` has. */
  readonly inputTruncated: boolean;
  action: "read-only" | "replace";
  encoding: "base64" | "text";
  data: string;
}

export interface Request {
  readonly clientIp: string;
  headers: Headers;
  readonly method: string;
  /** Without "?". */
  querystring: string;
  uri: string;
  /** When the association includes it. */
  body?: Body;
  /** At origin events. */
  origin?: { custom: CustomOrigin } | { s3: S3Origin };
}

export interface Response {
  status: string;
  statusDescription: string;
  headers: Headers;
}

/** What a function answers with. */
export interface Result {
  status: string;
  statusDescription?: string;
  headers?: Headers;
  body?: string;
  bodyEncoding?: "text" | "base64";
}

export type EventType = "viewer-request" | "origin-request" | "origin-response" | "viewer-response";

export interface Event {
  Records: [
    {
      cf: {
        readonly config: {
          readonly distributionDomainName: string;
          readonly distributionId: string;
          readonly eventType: EventType;
          readonly requestId: string;
        };
        request: Request;
        /** At response events. */
        response?: Response;
      };
    },
  ];
}

export interface Context {
  readonly functionName: string;
  readonly functionVersion: string;
  readonly awsRequestId: string;
  getRemainingTimeInMillis(): number;
}

export type Handler = (event: Event, context: Context) => Promise<Request | Response | Result>;
