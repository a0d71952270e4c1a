/** CloudFront Functions events (runtime 1.0 and 2.0) and the module `cloudfront`. Types only. */

export interface Value {
  value: string;
  /** Only when the name comes more than once. */
  multiValue?: { value: string }[];
}

export interface CookieValue extends Value {
  /** Of a response: "Path=/; Secure". */
  attributes?: string;
}

export interface Request {
  readonly method: string;
  uri: string;
  querystring: Record<string, Value> | string;
  headers: Record<string, Value>;
  cookies: Record<string, CookieValue>;
  rawQueryString(): string | undefined;
}

export interface Response {
  statusCode: number;
  statusDescription?: string;
  headers?: Record<string, Value>;
  cookies?: Record<string, CookieValue>;
  body?: string | { encoding: "text" | "base64"; data: string };
}

export interface Event {
  readonly version: "1.0";
  readonly context: {
    readonly distributionDomainName: string;
    readonly distributionId: string;
    readonly eventType: "viewer-request" | "viewer-response";
    readonly requestId: string;
  };
  readonly viewer: { readonly ip: string };
  request: Request;
  /** At viewer-response. */
  response: Response;
}

declare global {
  module "cloudfront" {
    interface KeyValueStore {
      /** Fails when there is no such key. */
      get(key: string, options?: { format: "string" }): Promise<string>;
      get(key: string, options: { format: "json" }): Promise<unknown>;
      get(key: string, options: { format: "bytes" }): Promise<Uint8Array>;
      exists(key: string): Promise<boolean>;
      count(): Promise<number>;
      meta(): Promise<{ creationDateTime: string; lastUpdatedDateTime: string; keyCount: number }>;
    }
    interface OriginChange {
      domainName?: string;
      hostHeader?: string;
      originPath?: string;
      customHeaders?: Record<string, string>;
      connectionAttempts?: number;
      timeouts?: { readTimeout?: number; keepAliveTimeout?: number; connectionTimeout?: number };
      customOriginConfig?: { port: number; protocol: "http" | "https"; sslProtocols: string[] };
      sni?: string;
      originAccessControlConfig?:
        | { enabled: false }
        | {
            enabled: true;
            signingBehavior: "always" | "never" | "no-override";
            signingProtocol?: "sigv4";
            originType?: "s3" | "lambda" | "mediastore" | "mediapackagev2";
            region?: string;
          };
    }
    const cf: {
      kvs(id?: string): KeyValueStore;
      readonly edgeLocation: { name: string; serverIp?: string };
      updateRequestOrigin(change: OriginChange): void;
      selectRequestOriginById(id: string, options?: { originOverrides: OriginChange }): void;
      createRequestOriginGroup(group: {
        originIds: (string | { originId: string; originOverrides?: OriginChange })[];
        selectionCriteria?: "default";
        failoverCriteria: { statusCodes: number[] };
      }): void;
    };
    export default cf;
  }
}
