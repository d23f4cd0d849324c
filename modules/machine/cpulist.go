package machine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxCPU is beyond the largest number of a processor that Linux can be built
// for (CONFIG_NR_CPUS).
const maxCPU = 8192

// cpuSet is numbers of processors, or of NUMA nodes, ascending.
type cpuSet []int

// parseCPUs reads the kernel's list format: "0-3,8". Blanks around a part mean
// nothing, nor does the order; an empty list is empty.
func parseCPUs(text string) (cpuSet, error) {
	var set cpuSet
	if strings.TrimSpace(text) == "" {
		return set, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		a, err := parseCPU(from)
		if err != nil {
			return nil, err
		}
		b, err := parseCPU(to)
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

func parseCPU(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n >= maxCPU {
		return 0, fmt.Errorf("%q is no number of a processor", text)
	}
	return int(n), nil
}

// String is the set in the kernel's list format.
func (s cpuSet) String() string {
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

// without are the members of s that are not in others.
func (s cpuSet) without(others cpuSet) cpuSet {
	var rest cpuSet
	for _, n := range s {
		if !slices.Contains(others, n) {
			rest = append(rest, n)
		}
	}
	return rest
}

// parseMask reads the kernel's bitmap format: groups of up to eight hexadecimal
// digits, the highest first, with commas between them.
func parseMask(text string) (cpuSet, error) {
	var set cpuSet
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

// mask is the set in the kernel's bitmap format.
func (s cpuSet) mask() string {
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
