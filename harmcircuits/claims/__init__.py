"""The paper's claims, one a folder or file: what is asked, what was measured against which controls, and what was found.

Every claim begins with the same material (`material`), reads conditions in the same way (`reading`), keeps what it has finished
(`journal`), and ends as a `Claim`.
"""
