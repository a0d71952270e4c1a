// Tells the origin what kind of device asks.
//
// Event: viewer-request. Grants: none. Sets x-device to desktop, mobile, tablet or tv, and x-os to android, ios or "". Put x-device into
// the behavior's cache key and each kind gets its own copy. Client hints come first, the User-Agent decides where there are none;
// what a viewer sent under these names is replaced.
package main

import (
	"strings"

	"rimward/edge"
)

func init() {
	edge.Handle(func(m *edge.Message, out *edge.Answer) error {
		agent := m.Request.Get("user-agent")
		out.SetHeader("x-device", device(agent, m.Request.Get("sec-ch-ua-mobile")))
		out.SetHeader("x-os", system(agent))
		return nil
	})
}

func device(agent, mobile string) string {
	switch {
	case any(agent, "SmartTV", "SMART-TV", "AppleTV", "GoogleTV", "HbbTV", "Roku", "BRAVIA", "Tizen"):
		return "tv"
	// Android tablets say Android and not Mobile.
	case any(agent, "iPad", "Tablet", "Kindle", "Silk/"), any(agent, "Android") && !any(agent, "Mobile") && mobile != "?1":
		return "tablet"
	case mobile == "?1", any(agent, "Mobile", "iPhone", "iPod", "Opera Mini"):
		return "mobile"
	}
	return "desktop"
}

func system(agent string) string {
	switch {
	case any(agent, "Android"):
		return "android"
	case any(agent, "iPhone", "iPad", "iPod"):
		return "ios"
	}
	return ""
}

func any(agent string, words ...string) bool {
	for _, word := range words {
		if strings.Contains(agent, word) {
			return true
		}
	}
	return false
}

func main() {}
