// Package cpus is sets of processors, and of NUMA nodes, in the spellings that the
// kernel and the programs on it have for them: lists ("0-3,8"), the kernel's
// bitmaps ("f,00000003") and plain hexadecimal masks ("0x33").
package cpus

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxCPU is beyond the largest number of a processor that Linux can be built
// for (CONFIG_NR_CPUS).
const maxCPU = 8192

// Set is numbers of processors, or of NUMA nodes, ascending.
type Set []int

// Parse reads the kernel's list format: "0-3,8". Blanks around a part mean
// nothing, nor does the order; an empty list is empty.
func Parse(text string) (Set, error) {
	var set Set
	if strings.TrimSpace(text) == "" {
		return set, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		a, err := Number(from)
		if err != nil {
			return nil, err
		}
		b, err := Number(to)
		if err != nil {
			return nil, err
		}
		if b < a {
			return nil, fmt.Errorf("%q ends before it begins", part)
		}
		for n := a; n <= b; n++ {
			set = append(set, n)
		}
	}
	slices.Sort(set)
	return slices.Compact(set), nil
}

// Number reads the number of a processor or of a node.
func Number(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n >= maxCPU {
		return 0, fmt.Errorf("%q is no number of a processor", text)
	}
	return int(n), nil
}

// String is the set in the kernel's list format.
func (s Set) String() string {
	var parts []string
	for i := 0; i < len(s); {
		j := i
		for j+1 < len(s) && s[j+1] == s[j]+1 {
			j++
		}
		part := strconv.Itoa(s[i])
		if j > i {
			part += "-" + strconv.Itoa(s[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ",")
}

// Without are the members of s that are not in others.
func (s Set) Without(others Set) Set {
	var rest Set
	for _, n := range s {
		if !slices.Contains(others, n) {
			rest = append(rest, n)
		}
	}
	return rest
}

// ParseMask reads the kernel's bitmap format: groups of up to eight hexadecimal
// digits, the highest first, with commas between them.
func ParseMask(text string) (Set, error) {
	var set Set
	groups := strings.Split(strings.TrimSpace(text), ",")
	if len(groups) > maxCPU/32 {
		return nil, fmt.Errorf("a mask of %d groups is longer than any", len(groups))
	}
	for i, group := range groups {
		bits, err := strconv.ParseUint(group, 16, 32)
		if err != nil || len(group) > 8 {
			return nil, fmt.Errorf("%q is no mask of processors", text)
		}
		base := 32 * (len(groups) - 1 - i)
		for bit := range 32 {
			if bits>>bit&1 == 1 {
				set = append(set, base+bit)
			}
		}
	}
	slices.Sort(set)
	return set, nil
}

// Mask is the set in the kernel's bitmap format.
func (s Set) Mask() string {
	top := 0
	if len(s) > 0 {
		top = s[len(s)-1]
	}
	groups := make([]uint32, top/32+1)
	for _, n := range s {
		groups[n/32] |= 1 << (n % 32)
	}
	slices.Reverse(groups)
	parts := make([]string, len(groups))
	for i, g := range groups {
		parts[i] = fmt.Sprintf("%08x", g)
		if i == 0 {
			parts[i] = fmt.Sprintf("%x", g)
		}
	}
	return strings.Join(parts, ",")
}

// ParseHex reads a mask as Open vSwitch and DPDK take it: hexadecimal digits, of
// any number, with 0x before them or without.
func ParseHex(text string) (Set, error) {
	digits := strings.TrimPrefix(strings.TrimPrefix(text, "0x"), "0X")
	if digits == "" || len(digits) > maxCPU/4 {
		return nil, fmt.Errorf("%q is no mask of processors", text)
	}
	var set Set
	for i := len(digits) - 1; i >= 0; i-- {
		bits, err := strconv.ParseUint(digits[i:i+1], 16, 4)
		if err != nil {
			return nil, fmt.Errorf("%q is no mask of processors", text)
		}
		for bit := range 4 {
			if bits>>bit&1 == 1 {
				set = append(set, 4*(len(digits)-1-i)+bit)
			}
		}
	}
	return set, nil
}
