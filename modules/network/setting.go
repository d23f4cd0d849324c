package network

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/engine/step"
)

// setting ties an attribute of a spec to an option of the device, as package
// linkinfo writes it.
type setting struct {
	option    string
	attribute string // its name, where that is another
	// text is what the option is to be, and false where nobody manages it.
	text func() (string, bool)
	// set gives the attribute what was found.
	set func(text string, there bool)
	// absent says whether it is wanted to be absent.
	absent func() bool
}

// untold says whether the kernel is not to tell the option at all: nothing sets
// it so, but it comes with another mode. A primary there may be none.
func (s setting) untold() bool { return s.absent() && s.option != "primary" }

// same says whether an option is as it is wanted. One that the kernel does not
// tell is off, or empty.
func (s setting) same(is string, there bool, want string) bool {
	return inListOrder(is) == want || !there && (want == "" || want == "0")
}

func inListOrder(text string) string {
	return strings.Join(slices.Sorted(strings.SplitSeq(text, ",")), ",")
}

func number(option string, a *step.Attr[int]) setting {
	return setting{option, "",
		func() (string, bool) { n, there := a.Get(); return strconv.Itoa(n), there },
		func(text string, there bool) {
			if n, err := strconv.Atoi(text); err == nil && there {
				*a = step.Is(n)
			} else {
				*a = step.None[int]()
			}
		}, a.Absent}
}

// word is an option that is text; absent it is empty.
func word(option string, a *step.Attr[string]) setting {
	return setting{option, "",
		func() (string, bool) { return a.Or(""), a.Managed() },
		func(text string, _ bool) {
			if *a = step.Is(text); text == "" {
				*a = step.None[string]()
			}
		}, a.Absent}
}

func toggle(option string, a *step.Attr[bool]) setting {
	return setting{option, "",
		func() (string, bool) {
			if a.Or(false) {
				return "1", true
			}
			return "0", a.Managed()
		},
		func(text string, there bool) { *a = step.Is(there && text != "0") }, a.Absent}
}

func list(option string, l *[]string) setting {
	return setting{option, "",
		func() (string, bool) { return strings.Join(slices.Sorted(slices.Values(*l)), ","), *l != nil },
		func(text string, _ bool) {
			*l = slices.Sorted(slices.Values(strings.FieldsFunc(text, func(r rune) bool { return r == ',' })))
			if *l == nil {
				*l = []string{}
			}
		}, func() bool { return false }}
}

// timer is an option in hundredths of a second.
func timer(option string, a *step.Attr[string]) setting {
	return setting{option, "",
		func() (string, bool) {
			d, err := time.ParseDuration(a.Or(""))
			return strconv.FormatInt(int64(d/tick), 10), err == nil
		},
		func(text string, there bool) {
			n, err := strconv.Atoi(text)
			if err != nil || !there {
				*a = step.None[string]()
				return
			}
			*a = step.Is((time.Duration(n) * tick).String())
		}, a.Absent}
}

// tick is the kernel's unit of time towards programs (USER_HZ).
const tick = 10 * time.Millisecond

// spelled is a time in the one way that a timer reads it.
func spelled(a step.Attr[string]) step.Attr[string] {
	if d, err := time.ParseDuration(a.Or("")); err == nil {
		return step.Is(d.String())
	}
	return a
}
