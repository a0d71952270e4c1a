'use strict';

// Each country's viewers are sent to the bucket that is nearest to them.
const REGIONS = { DE: 'eu-central-1', IE: 'eu-west-1', GB: 'eu-west-1', JP: 'ap-northeast-1', IN: 'ap-south-1' };

exports.handler = async (event) => {
    const request = event.Records[0].cf.request;
    const country = request.headers['cloudfront-viewer-country'];
    if (country) {
        const region = REGIONS[country[0].value];
        // Viewers of other countries stay with the origin that the distribution names.
        if (region) {
            const domainName = `images-in-${region}.s3.${region}.amazonaws.com`;
            request.origin.s3.region = region;
            request.origin.s3.domainName = domainName;
            request.headers['host'] = [{ key: 'host', value: domainName }];
        }
    }
    return request;
};
