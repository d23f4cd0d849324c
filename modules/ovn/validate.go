package ovn

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"weft/engine/step"
)

// validName wants a name that OVN's tools can take as an argument.
func validName(path, name string) []step.Problem {
	switch {
	case name == "":
		return []step.Problem{{Path: path, Message: "is empty"}}
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return []step.Problem{{Path: path, Message: "has a space or a control character in it", Hint: `write it without, as "ls1"`}}
	}
	return nil
}

// validKeys keeps playbooks off the keys that say whose a row is, and what it is called.
func validKeys(path string, k keys) []step.Problem {
	var problems []step.Problem
	for key := range k {
		switch key {
		case ownerKey:
			problems = append(problems, step.Problem{Path: path + "." + key, Message: "is set by weft itself", Hint: "leave it out; adopt = true takes a row over"})
		case nameKey:
			problems = append(problems, step.Problem{Path: path + "." + key, Message: "is set by weft itself", Hint: "leave it out; it is the step's name"})
		case "":
			problems = append(problems, step.Problem{Path: path, Message: "has a key that is empty"})
		}
	}
	return problems
}

// validOnce refuses elements of a set that are there twice. Mean is the one spelling
// of all that mean the same; nil where there is but one.
func validOnce(path string, set []string, mean func(string) string) []step.Problem {
	var problems []step.Problem
	seen := map[string]string{}
	for _, element := range set {
		one := element
		if mean != nil {
			one = mean(element)
		}
		if first, twice := seen[one]; twice {
			problems = append(problems, step.Problem{Path: path, Message: fmt.Sprintf("%q is there twice", element), Hint: fmt.Sprintf("leave one out; the other is %q", first)})
		}
		seen[one] = element
	}
	return problems
}

var ethernet = regexp.MustCompile(`^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$`)

const ethernetHint = `write it as "02:ac:10:ff:00:11"`

func validAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// validAddresses checks elements of Logical_Switch_Port.addresses.
func validAddresses(path string, list []string) []step.Problem {
	var problems []step.Problem
	for _, element := range list {
		words := strings.Fields(element)
		switch {
		case len(words) == 0:
			problems = append(problems, step.Problem{Path: path, Message: "has an element that is empty", Hint: "write [] for none"})
			continue
		case len(words) == 1 && slices.Contains([]string{"unknown", "router", "dynamic"}, words[0]):
			continue
		case words[0] == "dynamic":
		case !ethernet.MatchString(words[0]):
			problems = append(problems, step.Problem{
				Path: path, Message: fmt.Sprintf("%q does not begin with an Ethernet address, and is none of unknown, dynamic, router", element),
				Hint: `write "02:ac:10:ff:00:11 172.16.255.11"`,
			})
			continue
		}
		for _, word := range words[1:] {
			if !validAddress(word) && word != "dynamic" {
				problems = append(problems, step.Problem{Path: path, Message: fmt.Sprintf("%q is not an IP address", word), Hint: "addresses stand without a prefix length here"})
			}
		}
	}
	return problems
}

// validPortSecurity checks elements of Logical_Switch_Port.port_security.
func validPortSecurity(path string, list []string) []step.Problem {
	var problems []step.Problem
	for _, element := range list {
		words := strings.Fields(element)
		if len(words) == 0 || !ethernet.MatchString(words[0]) {
			problems = append(problems, step.Problem{Path: path, Message: fmt.Sprintf("%q does not begin with an Ethernet address", element), Hint: ethernetHint})
			continue
		}
		for _, word := range words[1:] {
			if _, err := netip.ParsePrefix(word); err != nil && !validAddress(word) {
				problems = append(problems, step.Problem{Path: path, Message: fmt.Sprintf("%q is neither an IP address nor a network", word), Hint: `write "172.16.255.11" or "172.16.255.0/24"`})
			}
		}
	}
	return problems
}

// canonical is the one spelling of an element of addresses or port_security.
// What is no address stays as it is.
func canonical(element string) string {
	words := strings.Fields(element)
	for i, word := range words {
		if ethernet.MatchString(word) {
			words[i] = strings.ToLower(word)
		} else if a, err := netip.ParseAddr(word); err == nil {
			words[i] = a.String()
		} else if p, err := netip.ParsePrefix(word); err == nil {
			words[i] = p.String()
		}
	}
	return strings.Join(words, " ")
}

func validRange(path string, a step.Attr[int], low, high int) []step.Problem {
	if n, ok := a.Get(); ok && (n < low || n > high) {
		return []step.Problem{{Path: path, Message: strconv.Itoa(n) + fmt.Sprintf(" is not from %d to %d", low, high)}}
	}
	return nil
}
