"""`penstock doctor`: looks at machine, state folder, servers and services, and says how to mend.

Reading and judging are apart. Looks read, each with a bound, all at the same time, and never need
what they look at; judges are functions of what was read. Nothing is changed anywhere.
"""
